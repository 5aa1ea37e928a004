import { deleteBudget, getBudget, listBudgets, putBudget } from '#lib/api/budgets'
import { json, nothing, operation, page, type Resource } from '#lib/api/openapi/describe'
import { budget, budgetOfScope, exampleBudget, exampleBudgets, exampleUsage, usageRow } from '#lib/api/openapi/schemas/money'
import { getUsage } from '#lib/api/usage'

const of = json(budgetOfScope, 'The budget that has least left, and all periods of its scope', exampleBudgets)

/** Money: budgets and what was spent. */
export const money: Resource = {
  tag: 'Money',
  description: 'Budgets are reserved before a call and settled after it; usage is read from the ledger.',
  operations: {
    listBudgets: operation(listBudgets, {
      200: page('BudgetPage', budget, 'The budgets that are set, by scope and period', exampleBudget),
    }),
    getBudget: operation(getBudget, { 200: of }, { problems: ['not_found'] }),
    putBudget: operation(
      putBudget,
      { 200: of },
      { problems: ['not_found', 'conflict'], example: { period: 'day', limitMicros: 5_000_000 } },
    ),
    deleteBudget: operation(
      deleteBudget,
      { 204: nothing('The budget is gone; limits that are on by default apply again') },
      { problems: ['not_found'] },
    ),
    getUsage: operation(getUsage, { 200: page('UsagePage', usageRow, 'One row for each group', exampleUsage) }),
  },
}
