import type { Metadata } from 'next'
import { AgentsPage } from '#app/console/_parts/agents/agents-page.tsx'

export const metadata: Metadata = { title: 'Agents · Baton' }

export default function Page() {
  return <AgentsPage />
}
