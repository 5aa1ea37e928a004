import type { Metadata } from 'next'
import { SwitchesPage } from '#app/console/_parts/switches/switches-page.tsx'

export const metadata: Metadata = { title: 'Kill switch' }

export default function Page() {
  return <SwitchesPage />
}
