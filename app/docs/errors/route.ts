import { bind } from '#app/bind'
import { errorsPage } from '#lib/api/docs/errors'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(errorsPage)
