import { bind } from '#app/bind'
import { listAudit } from '#lib/api/audit'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listAudit)
