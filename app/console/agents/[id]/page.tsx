import type { Metadata } from 'next'
import { AgentPage } from '#app/console/_parts/agent/agent-page.tsx'

export const metadata: Metadata = { title: 'Agent' }

export default function Page() {
  return <AgentPage />
}
