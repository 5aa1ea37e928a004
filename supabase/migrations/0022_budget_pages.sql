-- Budgets as callers set and read them, and the ledger as usage.

-- The scope of the given kind under which an entry of the ledger counts, or null.
create or replace function baton.ledger_scope(v baton.reservations, kind text) returns text language plpgsql immutable set search_path = '' as $$
begin
  return case kind when 'global' then 'global' when 'tenant' then 'tenant' when 'agent' then 'agent:' || v.agent_id when 'user' then 'user:' || v.owner_id
    when 'run' then 'run:' || v.run_id when 'key' then case when v.created_by like 'key:%' then v.created_by end
    when 'tool' then case when v.model like 'tool:%' then v.model end end;
end $$;

-- Limits stand beside what they limit: booking tells of thresholds without looking for them. What was told of a lower limit may be told of this one.
create or replace function baton.limit_counters(keys text[], b baton.budget_limit) returns void language plpgsql set search_path = '' as $$
begin
  update baton.budget_counters c set limit_micros = b.limit_micros, limit_tokens = b.limit_tokens, limit_calls = b.limit_calls where c.key = any (keys);
  update baton.budget_counters c set told = baton.threshold(c) where c.key = any (keys) and c.told > baton.threshold(c);
end $$;

-- Makes the counters of a limit anew from the ledger, for what was spent before there was a limit, and writes beside them what limits them now. The
-- caller holds the ledger's lock: nobody reserves or settles meanwhile, and what may still change (reserved, estimated, calls of tools of open runs) is
-- settled or given back there later. Calls of tools without a price stand in no ledger; they count from now on.
create or replace function baton.rebuild_counters(env text, tenant text, target text, span text) returns void language plpgsql set search_path = '' as $$
declare
  kind text := split_part(target, ':', 1);
  since timestamptz := baton.period_start(span);
  b baton.budget_limit;
begin
  if span = 'run' then return; end if;
  perform baton.lock_counter(c.key) from (select x.key from baton.budget_counters x where x.environment = env and x.tenant_id = tenant and x.period = span and x.period_start = since
    and (x.scope = target or target = kind || ':*' and x.scope like kind || ':%') order by x.key) c;
  insert into baton.budget_counters as c (key, environment, tenant_id, scope, period, period_start, spent_micros, reserved_micros, tokens, reserved_tokens, calls)
  select baton.counter_key(env, tenant, s.scope, span), env, tenant, s.scope, span, since, sum(s.spent), sum(s.reserved), sum(s.tokens), sum(s.reserved_tokens), sum(s.calls)
  from (select baton.ledger_scope(v, kind) as scope, case when v.state = 'reserved' then 0 else v.cost_micros end as spent, case when v.state = 'reserved' then v.micros else 0 end as reserved,
      case v.state when 'reserved' then 0 when 'estimated' then v.tokens else coalesce((v.usage ->> 'inputTokens')::bigint + (v.usage ->> 'outputTokens')::bigint, 0) end as tokens,
      case when v.state = 'reserved' then v.tokens else 0 end as reserved_tokens,
      case when v.model like 'tool:%' and kind <> 'tool' or v.state = 'settled' and v.cost_micros = 0 and coalesce((v.usage ->> 'inputTokens')::bigint, 0) = 0 then 0 else 1 end as calls
    from baton.reservations v where v.environment = env and (kind = 'global' or v.tenant_id = tenant) and v.created_at >= since) s
  where s.scope = target or target = kind || ':*' and s.scope is not null
  group by s.scope
  on conflict (key) do update set reserved_micros = excluded.reserved_micros, reserved_tokens = excluded.reserved_tokens, (spent_micros, tokens, calls) = (
    select greatest(case when span = 'lifetime' then c.spent_micros end, excluded.spent_micros + coalesce(max(h.spent_micros), 0)),
      greatest(case when span = 'lifetime' then c.tokens end, excluded.tokens + coalesce(max(h.tokens), 0)), greatest(c.calls, excluded.calls + coalesce(max(h.calls), 0))
    from baton.budget_carried h where h.key = c.key);
  perform baton.make_parts(c.key, c.scope) from baton.budget_counters c where c.environment = env and c.tenant_id = tenant and c.period = span and c.period_start = since
    and (c.scope = target or target = kind || ':*' and c.scope like kind || ':%');
  update baton.reservations v set charges = v.charges || baton.counter_key(env, tenant, baton.ledger_scope(v, kind), span)
  where v.environment = env and (kind = 'global' or v.tenant_id = tenant) and v.created_at >= since
    and (v.state in ('reserved', 'estimated') or v.model like 'tool:%' and exists (select from baton.runs r where r.run_id = v.run_id and r.ended_at is null))
    and (baton.ledger_scope(v, kind) = target or target = kind || ':*' and baton.ledger_scope(v, kind) is not null)
    and not baton.counter_key(env, tenant, baton.ledger_scope(v, kind), span) = any (v.charges);
  select l.* into b from unnest(baton.limits_for(env, tenant, array[target])) l where l.period = span;
  -- A limit of its own goes before that of all.
  perform baton.limit_counters(array(select c.key from baton.budget_counters c where c.environment = env and c.tenant_id = tenant and c.period = span and c.period_start = since
    and (c.scope = target or target = kind || ':*' and c.scope like kind || ':%' and not exists (select from baton.budgets o
      where o.environment = env and o.tenant_id = tenant and o.scope = c.scope and o.period = span))), b);
end $$;

-- Takes the limits of a scope away, of one period or of all: their number. A wider limit may apply from now on, and the row that goes may have counted nothing.
create or replace function baton.drop_budgets(env text, tenant text, target text, span text) returns integer language plpgsql set search_path = '' as $$
declare
  spans text[];
begin
  lock table baton.reservations in share row exclusive mode;
  with gone as (delete from baton.budgets b where b.environment = env and b.tenant_id = tenant and b.scope = target and (span is null or b.period = span) returning b.period)
  select array_agg(g.period order by g.period) into spans from gone g;
  perform baton.rebuild_counters(env, tenant, target, s) from unnest(spans) s;
  return coalesce(cardinality(spans), 0);
end $$;

-- Runs that wait for room look again now: a limit was changed. One batch, in the order of their agents; next null: there are no more.
drop function if exists baton.wake_budgets(text, text);
create or replace function baton.wake_batch(env text, tenant text, after uuid, out rows jsonb, out next uuid) language plpgsql set search_path = '' as $$
declare
  w baton.work;
  most constant integer := 500;
  now_at timestamptz := baton.clock();
  uids uuid[] := array(select r.agent_uid from baton.runs r where r.environment = env and (tenant = '' or r.tenant_id = tenant) and r.wait_kind = 'budget'
    and r.due_at > now_at and (after is null or r.agent_uid > after) order by r.agent_uid limit most);
  uid uuid;
begin
  rows := '[]';
  foreach uid in array uids loop
    select a into w.a from baton.agents a where a.agent_uid = uid for update;
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    if (w.r).wait_kind is distinct from 'budget' then continue; end if;
    w.r.due_at := baton.clock();
    w.rows := null;
    w := baton.finish(w);
    rows := rows || w.rows;
  end loop;
  if cardinality(uids) >= most then next := uids[most]; end if;
end $$;

-- {scope, after?} -> {ok, outbox, next}: a batch of those that still sleep when a budget was changed. Asked for until `next` is null.
create or replace function baton.wake_budgets(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  refusal json := baton.budgets_refused(p, 'budget.set');
  x record;
begin
  if refusal is not null then return refusal; end if;
  select * into x from baton.wake_batch(p ->> 'environment', case when p ->> 'scope' = 'global' then '' else p ->> 'tenant' end, (p ->> 'after')::uuid);
  return json_build_object('ok', true, 'outbox', x.rows, 'next', x.next);
end $$;

-- Whether runs sleep that wait for room, as seen under the ledger's lock: what the first batch had no place for, and who went to sleep meanwhile.
create or replace function baton.some_sleep(env text, tenant text) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  return exists (select from baton.runs r where r.environment = env and (tenant = '' or r.tenant_id = tenant) and r.wait_kind = 'budget' and r.due_at > baton.clock());
end $$;

-- Whether the limit that had no room is another one by now: then nobody would wake a run that waits for it. Whoever is setting one has the ledger's
-- lock, and finds the run asleep or is waited for here.
create or replace function baton.limit_changed(w baton.work, refusal jsonb) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  lock table baton.reservations in row exclusive mode;
  return not exists (select from unnest(baton.limits_for((w.a).environment, (w.a).tenant_id, baton.scopes_of(w.a, w.r))) l
    where l.scope = refusal ->> 'scope' and l.period = refusal ->> 'period' and l.limit_micros is not distinct from (refusal ->> 'limitMicros')::bigint
      and l.limit_tokens is not distinct from coalesce((refusal ->> 'limitTokens')::bigint, l.limit_tokens)
      and l.limit_calls is not distinct from coalesce((refusal ->> 'limitCalls')::bigint, l.limit_calls));
end $$;

-- Null: the caller may; else why not. Budgets are no matter of users, and what all tenants share is the operator's.
drop function if exists baton.budgets_refused(jsonb);
create or replace function baton.budgets_refused(p jsonb, action text) returns json language plpgsql set search_path = '' as $$
begin
  if not coalesce((p ->> 'ownOnly')::boolean, false) and (p ->> 'scope' is distinct from 'global' or p -> 'credential' ? 'operator') then return null; end if;
  perform baton.audit_refused(p, jsonb_build_object('action', action, 'decision', 'refused', 'code', 'forbidden', 'scope', p ->> 'scope'));
  return baton.refuse('forbidden');
end $$;

create or replace function baton.budget_json(env text, tenant text, b baton.budgets, source text) returns jsonb language plpgsql volatile set search_path = '' as $$
declare
  w baton.work;
  c baton.budget_counters;
  counts boolean := b.period <> 'run' or b.scope like 'run:%';
begin
  if b.scope like 'run:%' then select r into w.r from baton.runs r where r.run_id = substr(b.scope, 5) and r.tenant_id = tenant; end if;
  c := baton.counted(w, row(case when b.period <> 'run' then baton.counter_key(env, b.tenant_id, b.scope, b.period) end, b.tenant_id, b.scope, b.period,
    b.limit_micros, b.limit_tokens, b.limit_calls, b.max_per_call_micros)::baton.budget_limit, false);
  return jsonb_build_object('scope', b.scope, 'period', b.period, 'limitMicros', b.limit_micros, 'limitTokens', b.limit_tokens, 'limitCalls', b.limit_calls,
    'maxPerCallMicros', b.max_per_call_micros, 'spentMicros', case when counts then c.spent_micros end, 'reservedMicros', case when counts then c.reserved_micros end,
    'remainingMicros', case when counts and b.limit_micros is not null then greatest(0, b.limit_micros - c.spent_micros - c.reserved_micros) end,
    'tokens', case when counts then c.tokens end, 'calls', case when counts then c.calls end, 'resetsAt', baton.resets_at(b.period),
    'source', source, 'updatedAt', b.updated_at, 'updatedBy', b.updated_by);
end $$;

-- {scope, period?} -> {budgets: [...]}: what is set for the scope and what it has from `user:*` and the defaults, the least remaining first.
create or replace function baton.get_budget(p jsonb) returns json language plpgsql volatile set search_path = '' as $$
declare
  refusal json := baton.budgets_refused(p, 'budget.read');
  env text := p ->> 'environment';
  tenant text := case when p ->> 'scope' = 'global' then '' else p ->> 'tenant' end;
  b baton.budgets;
  l baton.budget_limit;
  found_rows jsonb := '[]';
begin
  if refusal is not null then return refusal; end if;
  for b in select x.* from baton.budgets x where x.environment = env and x.tenant_id = tenant and x.scope = p ->> 'scope' loop
    found_rows := found_rows || baton.budget_json(env, tenant, b, 'set');
  end loop;
  foreach l in array baton.limits_for(env, tenant, array[p ->> 'scope']) loop
    if exists (select from jsonb_array_elements(found_rows) f where f ->> 'period' = l.period)
      or exists (select from baton.budgets x where x.environment = env and x.tenant_id = tenant and x.scope = p ->> 'scope' and x.period = l.period) then continue; end if;
    b := row(env, l.tenant_id, l.scope, l.period, l.limit_micros, l.limit_tokens, l.limit_calls, l.max_per_call_micros, null, null)::baton.budgets;
    found_rows := found_rows || baton.budget_json(env, tenant, b, case when exists (select from baton.budgets x where x.environment = env and x.tenant_id = tenant
      and x.scope = split_part(l.scope, ':', 1) || ':*' and x.period = l.period) then 'inherited' else 'default' end);
  end loop;
  return json_build_object('ok', true, 'budgets', (select coalesce(json_agg(f order by (f ->> 'remainingMicros')::bigint nulls last, f ->> 'period'), '[]')
    from jsonb_array_elements(found_rows) f where p ->> 'period' is null or f ->> 'period' = p ->> 'period'));
end $$;

-- {scope, period, limitMicros?, limitTokens?, limitCalls?, maxPerCallMicros?} replaces the row. What waits for room looks again.
create or replace function baton.put_budget(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  refusal json := baton.budgets_refused(p, 'budget.set');
  env text := p ->> 'environment';
  tenant text := case when p ->> 'scope' = 'global' then '' else p ->> 'tenant' end;
  before jsonb;
  woken jsonb;
begin
  if refusal is not null then return refusal; end if;
  -- Agents first, then the ledger, then counters: the order of everybody. One at a time, for this mode shuts out its own kind, too.
  woken := (baton.wake_batch(env, tenant, null)).rows;
  lock table baton.reservations in share row exclusive mode;
  select to_jsonb(b) into before from baton.budgets b where b.environment = env and b.tenant_id = tenant and b.scope = p ->> 'scope' and b.period = p ->> 'period';
  insert into baton.budgets (environment, tenant_id, scope, period, limit_micros, limit_tokens, limit_calls, max_per_call_micros, updated_at, updated_by)
  values (env, tenant, p ->> 'scope', p ->> 'period', (p ->> 'limitMicros')::bigint, (p ->> 'limitTokens')::bigint, (p ->> 'limitCalls')::bigint,
    (p ->> 'maxPerCallMicros')::bigint, baton.clock(), p ->> 'caller')
  on conflict (environment, tenant_id, scope, period) do update set limit_micros = excluded.limit_micros, limit_tokens = excluded.limit_tokens,
    limit_calls = excluded.limit_calls, max_per_call_micros = excluded.max_per_call_micros, updated_at = excluded.updated_at, updated_by = excluded.updated_by;
  perform baton.rebuild_counters(env, tenant, p ->> 'scope', p ->> 'period');
  -- Thresholds are those of the new limit; what it has passed already is seen in the answer.
  update baton.budget_counters c set told = baton.threshold(c) where c.key = baton.counter_key(env, tenant, p ->> 'scope', p ->> 'period');
  perform baton.audit_request(p, jsonb_build_object('action', 'budget.set', 'decision', 'allowed', 'scope', p ->> 'scope',
    'data', jsonb_build_object('before', before, 'after', p - array['credential', 'environment', 'tenant', 'caller', 'ownerId', 'requestId', 'scope', 'line'])));
  return (baton.get_budget(p)::jsonb || jsonb_build_object('outbox', woken, 'asleep', baton.some_sleep(env, tenant)))::json;
end $$;

create or replace function baton.delete_budget(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  refusal json := baton.budgets_refused(p, 'budget.remove');
  tenant text := case when p ->> 'scope' = 'global' then '' else p ->> 'tenant' end;
  woken jsonb;
begin
  if refusal is not null then return refusal; end if;
  woken := (baton.wake_batch(p ->> 'environment', tenant, null)).rows;
  if baton.drop_budgets(p ->> 'environment', tenant, p ->> 'scope', p ->> 'period') = 0 then return baton.refuse('not_found'); end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'budget.remove', 'decision', 'allowed', 'scope', p ->> 'scope', 'data', jsonb_build_object('period', p -> 'period')));
  return json_build_object('ok', true, 'outbox', woken, 'asleep', baton.some_sleep(p ->> 'environment', tenant));
end $$;

-- {limit, after?} The rows that are set, by scope and period.
create or replace function baton.list_budgets(p jsonb) returns json language plpgsql volatile set search_path = '' as $$
declare
  refusal json := baton.budgets_refused(p, 'budget.read');
begin
  if refusal is not null then return refusal; end if;
  return (select json_build_object('ok', true, 'data', coalesce(json_agg(baton.budget_json(x.environment, p ->> 'tenant', x, 'set') order by x.scope, x.period), '[]')) from (
    select b.* from baton.budgets b where b.environment = p ->> 'environment' and (b.tenant_id = p ->> 'tenant' or b.tenant_id = '' and p -> 'credential' ? 'operator')
      and (p ->> 'after' is null or b.scope || ' ' || b.period > p ->> 'after')
    order by b.scope || ' ' || b.period limit (p ->> 'limit')::integer) x);
end $$;

-- {groupBy, from, to, after?, limit} What was spent by group: settled, and apart what was booked for calls whose usage nobody received, and what is still reserved.
create or replace function baton.usage(p jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  return (select json_build_object('ok', true, 'data', coalesce(json_agg(json_build_object('group', g.name, 'calls', g.calls, 'settledMicros', g.settled, 'estimatedMicros', g.estimated,
      'reservedMicros', g.reserved, 'costMicros', g.settled + g.estimated, 'inputTokens', g.input, 'outputTokens', g.output) order by g.name), '[]')) from (
    select v.name, count(*) filter (where v.state <> 'settled' or v.cost_micros > 0 or (v.usage ->> 'inputTokens')::bigint > 0) as calls,
      coalesce(sum(v.cost_micros) filter (where v.state = 'settled'), 0) as settled, coalesce(sum(v.cost_micros) filter (where v.state = 'estimated'), 0) as estimated,
      coalesce(sum(v.micros) filter (where v.state = 'reserved'), 0) as reserved, coalesce(sum((v.usage ->> 'inputTokens')::bigint), 0) as input,
      coalesce(sum((v.usage ->> 'outputTokens')::bigint), 0) as output
    from (select x.*, coalesce(case p ->> 'groupBy' when 'agent' then x.agent_id when 'user' then x.owner_id::text when 'model' then x.model
          when 'key' then case when x.created_by like 'key:%' then substr(x.created_by, 5) end else to_char(x.created_at at time zone 'UTC', 'YYYY-MM-DD') end, '') as name
      from baton.reservations x where x.environment = p ->> 'environment' and x.tenant_id = p ->> 'tenant' and x.created_at >= (p ->> 'from')::timestamptz
        and x.created_at < (p ->> 'to')::timestamptz and (not coalesce((p ->> 'ownOnly')::boolean, false) or x.owner_id = (p ->> 'ownerId')::uuid)) v
    where p ->> 'after' is null or v.name > p ->> 'after' group by v.name order by v.name limit (p ->> 'limit')::integer) g);
end $$;

-- The ledger is kept 400 days, counters of a period 400 days after its start: how many of each went.
drop function if exists baton.prune_budgets(text, integer);
create or replace function baton.prune_budgets(env text, most integer) returns jsonb language plpgsql set search_path = '' as $$
declare
  before timestamptz := baton.clock() - interval '400 days';
  entries integer;
  counters integer;
begin
  delete from baton.reservations d where d.ctid = any (array(select v.ctid from baton.reservations v where v.environment = env and v.created_at < before and v.state <> 'reserved'
    limit most for update skip locked));
  get diagnostics entries = row_count;
  delete from baton.budget_counters d where d.ctid = any (array(select c.ctid from baton.budget_counters c where c.environment = env and c.period in ('day', 'month')
    and c.period_start < before limit most for update skip locked));
  get diagnostics counters = row_count;
  return jsonb_build_object('ledger', entries, 'counters', counters);
end $$;

-- Whether a new message has room in the budgets: for its first call where that is known and comes at once, else whether one is used up.
-- The run's own limit is no matter of the message: it ends the run, by name.
create or replace function baton.budget_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  b baton.budget_limit;
  c baton.budget_counters;
  call jsonb;
  free boolean := (w.a).settings -> 'price' ->> 'inputMicrosPerMillion' = '0' and (w.a).settings -> 'price' ->> 'outputMicrosPerMillion' = '0';
  refusal jsonb;
begin
  w.r := null;
  w.r.created_by := p ->> 'caller';
  if (w.a).active_run is null and nullif(p -> 'execute', 'null') is not null then
    w.a.window_tokens := (w.a).window_tokens + (p -> 'message' ->> 'estTokens')::bigint;
    call := baton.first_reservation(w, p -> 'execute' -> 'reserve');
  end if;
  w.limits := baton.limits_for((w.a).environment, (w.a).tenant_id, baton.scopes_of(w.a, w.r));
  foreach b in array w.limits loop
    if call is not null and num_nonnulls(b.key, b.limit_tokens, b.limit_calls, b.max_per_call_micros) = 1 and b.limit_micros >= (call ->> 'micros')::bigint
      + coalesce((select x.spent_micros + x.reserved_micros from baton.budget_totals x where x.key = b.key), 0) then continue; end if;
    c := baton.counted(w, b, false);
    if call is not null then
      refusal := (baton.fit(b, c, nullif(call -> 'least', 'null'), (call ->> 'micros')::bigint, coalesce((call ->> 'tokens')::bigint, 0))).refusal;
    elsif not free and c.spent_micros >= b.limit_micros then
      refusal := baton.refused_by(b, c, 'micros', null);
    elsif c.tokens >= b.limit_tokens or c.calls >= b.limit_calls then
      refusal := baton.refused_by(b, c, case when c.tokens >= b.limit_tokens then 'tokens' else 'calls' end, null);
    end if;
    if refusal is not null then
      perform baton.count_refusal(w, refusal);
      return baton.refuse('budget_exceeded', refusal);
    end if;
  end loop;
  return null;
end $$;
