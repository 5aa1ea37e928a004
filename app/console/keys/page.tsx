import type { Metadata } from 'next'
import { KeysPage } from '#app/console/_parts/keys/keys-page.tsx'

export const metadata: Metadata = { title: 'Keys' }

export default function Page() {
  return <KeysPage />
}
