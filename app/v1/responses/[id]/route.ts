import { bind } from '#app/bind'
import { getResponse } from '#lib/api/responses'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getResponse)
