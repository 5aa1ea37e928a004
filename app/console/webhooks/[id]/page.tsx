import type { Metadata } from 'next'
import { WebhookPage } from '#app/console/_parts/webhooks/webhook-page.tsx'

export const metadata: Metadata = { title: 'Webhook' }

export default function Page() {
  return <WebhookPage />
}
