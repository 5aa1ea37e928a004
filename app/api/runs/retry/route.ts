import { bind } from '#app/bind'
import { retryRuns } from '#lib/api/retry-many'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(retryRuns)
