/** What stands at no address of the console. Next's own page of it would break the console's policy, and leads nowhere. */
export function GET(request: Request): Response {
  const style =
    'body{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;min-height:90vh;text-align:center;color-scheme:light dark}'
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Not found · Baton</title>
<style nonce="${request.headers.get('x-nonce') ?? ''}">${style}</style>
<h1>There is no such page</h1>
<p><a href="/console">To the agents</a></p>
</html>
`
  return new Response(page, { status: 404, headers: { 'content-type': 'text/html; charset=utf-8' } })
}
