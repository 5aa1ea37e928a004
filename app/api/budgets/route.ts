import { bind } from '#app/bind'
import { listBudgets } from '#lib/api/budgets'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listBudgets)
