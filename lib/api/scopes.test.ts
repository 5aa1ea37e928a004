import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { deleteUser } from '#lib/api/erase'
import { liftSwitch, setSwitch } from '#lib/api/kill'

const id = '01A1FF0B-D44E-75FE-BB57-F35014D5AC60'
const scope = `user:${id.toLowerCase()}`

/** A store that notes which scope it is asked about, and refuses. */
function noting() {
  const asked: string[] = []
  const note = (_authority: unknown, request: { scope: string }) => {
    asked.push(request.scope)
    return Promise.resolve({ ok: false, code: 'forbidden' })
  }
  return { asked, store: { setSwitch: note, liftSwitch: note, erase: note } }
}

test('an id of a user may be written in any case where users are stopped, let go and erased: it is one user', async () => {
  const { asked, store } = noting()
  await ask(setSwitch, '/api/kill', { store }, { body: { scope: `user:${id}`, mode: 'kill', reason: 'x' } })
  await ask(liftSwitch, `/api/kill/user:${id}`, { store })
  await ask(deleteUser, `/api/users/${id}`, { store })
  expect(asked).toEqual([scope, scope, scope])
})
