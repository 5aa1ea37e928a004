import { bind } from '#app/bind'
import { listMessages } from '#lib/api/conversation'
import { sendMessage } from '#lib/api/messages'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(listMessages, sendMessage)
