import { bind } from '#app/bind'
import { getExport } from '#lib/api/export'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getExport)
