import { bind } from '#app/bind'
import { listApprovals } from '#lib/api/approvals'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listApprovals)
