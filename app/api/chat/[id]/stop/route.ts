import { bind } from '#app/bind'
import { stopChat } from '#lib/api/chat'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(stopChat)
