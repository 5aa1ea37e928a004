import { bind } from '#app/bind'
import { cancelResponse } from '#lib/api/responses'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(cancelResponse)
