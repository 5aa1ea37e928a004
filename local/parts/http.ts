import type { IncomingMessage, ServerResponse } from 'node:http'

/** Thrown by {@link readBody} when a request's body is larger than allowed. */
export class BodyTooLarge extends Error {}

/** Reads a request's body whole; throws {@link BodyTooLarge} above `limit` bytes. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw new BodyTooLarge(`The body is larger than ${limit} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Answers with JSON and ends the response. */
export function answerJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

/** Turns Node's request, whose body has been read, into the web standard's. */
export function toWebRequest(request: IncomingMessage, body: Buffer | undefined): Request {
  const headers = new Headers()
  const { rawHeaders } = request
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) headers.append(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '')
  const url = `http://${request.headers.host ?? '127.0.0.1'}${request.url ?? '/'}`
  return new Request(url, { method: request.method ?? 'GET', headers, body: body === undefined ? null : new Uint8Array(body) })
}

/** Sends a web standard response through Node's. */
export async function sendWebResponse(answer: Response, response: ServerResponse): Promise<void> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of answer.headers) headers[name] = value
  const cookies = answer.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  const body = Buffer.from(await answer.arrayBuffer())
  if (body.length > 0) headers['content-length'] = String(body.length)
  response.writeHead(answer.status, headers)
  response.end(body)
}
