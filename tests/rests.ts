import type pg from 'pg'

/** Whatever asks the database. */
interface Asks {
  sql<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>
}

/**
 * Lets each SQL function of a database rest now and then between two of its statements, at random: what somebody else commits in
 * between is seen by the second and not by the first, and what is locked stays locked for longer. Without it such a moment is some
 * microseconds wide, and a race that needs one shows itself once in a week. `chance` is that of one statement, `mostMs` the longest rest.
 */
export async function restBetweenStatements(kit: Asks, { chance, mostMs }: { chance: number; mostMs: number }): Promise<void> {
  // Asked in a condition, for that changes nothing of what `found` says of the statement before.
  await kit.sql(`create function baton.rests() returns boolean language plpgsql volatile set search_path = '' as $$
    begin
      if pg_catalog.random() < ${chance} then perform pg_catalog.pg_sleep(pg_catalog.random() * ${mostMs / 1_000}); end if;
      return false;
    end $$;
    revoke execute on function baton.rests() from public`)
  const functions = await kit.sql<{ body: string; definition: string }>(`select p.prosrc as body, pg_get_functiondef(p.oid) as definition
    from pg_proc p join pg_language l on l.oid = p.prolang where p.pronamespace = 'baton'::regnamespace and l.lanname = 'plpgsql'
      and p.provolatile = 'v' and p.prokind = 'f' and p.proname <> 'rests'`)
  if (functions.length < 100) throw new Error(`only ${functions.length} functions of schema baton change something`)
  for (const { body, definition } of functions) await kit.sql(definition.replace(body, () => resting(body)))
}

/** A statement ends with its line in these files: the format of the migrations. */
function resting(body: string): string {
  const lines = body.split('\n')
  const begin = lines.findIndex((line) => line.trim() === 'begin')
  return lines.map((line, at) => (at > begin && line.endsWith(';') ? `${line} if baton.rests() then null; end if;` : line)).join('\n')
}

/** By hand, for any tests of a store or a world (`BATON_RESTS=0.02 npx vitest run tests/store`): what fails then is a race, or has counted on time. */
export async function restWhereAsked(kit: Asks): Promise<void> {
  const chance = process.env['BATON_RESTS']
  if (chance !== undefined) await restBetweenStatements(kit, { chance: Number(chance), mostMs: 20 })
}
