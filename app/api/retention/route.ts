import { bind } from '#app/bind'
import { getRetention, putRetention } from '#lib/api/retention'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getRetention, putRetention)
