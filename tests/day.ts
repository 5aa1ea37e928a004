import type pg from 'pg'

/** A database whose clock can be moved, by milliseconds. */
interface Movable {
  sql<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>
  advance(ms: number): Promise<void>
}

/** Budgets of a day or a month are looked at within one: tests that start in the last `withinMs` of a UTC day begin with the next. */
export async function toNextDay(kit: Movable, withinMs: number): Promise<void> {
  const [row] = await kit.sql<{ left: number }>(`select baton.millis(baton.resets_at('day') - baton.clock())::integer as left`)
  if (row === undefined) throw new Error('the database tells no time')
  if (row.left < withinMs) await kit.advance(row.left)
}
