import { expect, test } from 'vitest'
import { createHub } from '#lib/live/hub'

test('listeners are called in order, for their agent, until they take themselves back', () => {
  const heard: string[] = []
  const hub = createHub<string>(() => undefined)
  const first = hub.add('a', (value) => heard.push(`first ${value}`))
  const second = hub.add('a', (value) => {
    heard.push(`second ${value}`)
    second()
  })
  hub.add('b', (value) => heard.push(`other ${value}`))
  hub.send('a', '1')
  hub.send('a', '2')
  first()
  first()
  hub.send('a', '3')
  expect(heard).toEqual(['first 1', 'second 1', 'first 2'])
})

test('a listener that throws is told of and harms no other', () => {
  const errors: unknown[] = []
  const heard: string[] = []
  const hub = createHub<string>((error) => errors.push(error))
  hub.add('a', () => {
    throw new Error('broken')
  })
  hub.add('a', (value) => heard.push(value))
  hub.send('a', 'x')
  expect(heard).toEqual(['x'])
  expect(errors).toEqual([new Error('broken')])
})

test('the same function registered twice is two registrations', () => {
  let count = 0
  const hub = createHub<null>(() => undefined)
  const listener = () => (count += 1)
  const take = hub.add('a', listener)
  hub.add('a', listener)
  take()
  hub.send('a', null)
  expect(count).toBe(1)
})
