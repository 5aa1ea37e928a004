import type { Metadata } from 'next'
import { BudgetsPage } from '#app/console/_parts/budgets/budgets-page.tsx'

export const metadata: Metadata = { title: 'Budgets' }

export default function Page() {
  return <BudgetsPage />
}
