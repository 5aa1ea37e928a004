import { bind } from '#app/bind'
import { resumeChat } from '#lib/api/chat-resume'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(resumeChat)
