/** Answers that several operations give, as components of the document: it is a third of the size so. */
export function sharedResponses<Document extends { paths?: object; components?: object }>(document: Document): Document {
  const seen = new Map<string, { name: string; count: number; response: unknown }>()
  const statuses = new Map<string, number>()
  const each = (visit: (responses: Record<string, unknown>, status: string, text: string) => void): void => {
    for (const item of Object.values(document.paths ?? {}) as Record<string, { responses: Record<string, unknown> }>[])
      for (const { responses } of Object.values(item))
        for (const [status, response] of Object.entries(responses))
          if (Number(status) >= 400) visit(responses, status, JSON.stringify(response))
  }
  each((responses, status, text) => {
    const known = seen.get(text)
    if (known !== undefined) return void known.count++
    seen.set(text, { name: '', count: 1, response: responses[status] })
  })
  const components: Record<string, unknown> = {}
  each((responses, status, text) => {
    const known = seen.get(text)
    if (known === undefined || known.count < 2) return
    if (known.name === '') {
      const number = (statuses.get(status) ?? 0) + 1
      statuses.set(status, number)
      known.name = number === 1 ? `Problem${status}` : `Problem${status}_${number}`
      components[known.name] = known.response
    }
    responses[status] = { $ref: `#/components/responses/${known.name}` }
  })
  return { ...document, components: { ...document.components, responses: components } }
}
