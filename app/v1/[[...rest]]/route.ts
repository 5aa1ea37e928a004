import { bindNothing } from '#app/bind'
import { openaiError } from '#lib/api/responses-error'

export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bindNothing(openaiError)
