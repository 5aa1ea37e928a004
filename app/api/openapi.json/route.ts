import { bind } from '#app/bind'
import { openApi } from '#lib/api/openapi'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(openApi)
