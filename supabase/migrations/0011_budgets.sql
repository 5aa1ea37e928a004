-- Budgets: limits of money, tokens and calls by scope and period, and the reservations that are checked against them (2-run-contract, invariant 9).
-- Nothing is spent that was not set aside before; a counter row is touched last in a transaction and only where a limit exists.
create table if not exists baton.budgets (
  environment text not null,
  -- Empty for the scope global, which all tenants of the environment share.
  tenant_id text not null,
  scope text not null,
  period text not null check (period in ('run', 'day', 'month', 'lifetime')),
  limit_micros bigint check (limit_micros >= 0),
  limit_tokens bigint check (limit_tokens >= 0),
  limit_calls bigint check (limit_calls >= 0),
  max_per_call_micros bigint check (max_per_call_micros >= 0),
  updated_at timestamptz not null default baton.clock(),
  updated_by text,
  primary key (environment, tenant_id, scope, period)
);

-- One row per scope and period start, made by the first reservation; `told` is the highest threshold (80, 100) that was told of.
create table if not exists baton.budget_counters (
  key text primary key,
  environment text not null,
  tenant_id text not null,
  scope text not null,
  period text not null,
  period_start timestamptz not null,
  limit_micros bigint,
  limit_tokens bigint,
  limit_calls bigint,
  spent_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  tokens bigint not null default 0,
  reserved_tokens bigint not null default 0,
  calls bigint not null default 0,
  told integer not null default 0
) with (fillfactor = 50);
create index if not exists budget_counters_age on baton.budget_counters using brin (period_start);

-- charges: the counters that the reservation stands in, so that its settlement adjusts exactly those, also after a period has turned.
alter table baton.reservations add column if not exists tokens bigint not null default 0;
alter table baton.reservations add column if not exists lowered boolean not null default false;
alter table baton.reservations add column if not exists charges text[] not null default '{}';
create index if not exists reservations_of_tenant on baton.reservations (environment, tenant_id, created_at);
create index if not exists reservations_age on baton.reservations using brin (created_at);
-- What one call of the tool costs, as its template said when the model asked for it.
alter table baton.tool_calls add column if not exists cost_micros bigint not null default 0;
create index if not exists runs_without_budget on baton.runs (environment, tenant_id) where wait_kind = 'budget';

create or replace function baton.period_start(period text) returns timestamptz language plpgsql volatile set search_path = '' as $$
begin
  if period not in ('day', 'month') then return 'epoch'; end if;
  return date_trunc(period, baton.clock() at time zone 'UTC') at time zone 'UTC';
end $$;

create or replace function baton.resets_at(period text) returns timestamptz language plpgsql volatile set search_path = '' as $$
begin
  if period not in ('day', 'month') then return null; end if;
  return (date_trunc(period, baton.clock() at time zone 'UTC') + ('1 ' || period)::interval) at time zone 'UTC';
end $$;

-- The scope comes last: it alone may hold any character.
create or replace function baton.counter_key(env text, tenant text, scope text, period text) returns text language plpgsql volatile set search_path = '' as $$
begin
  return env || '|' || tenant || '|' || period || '|' || to_char(baton.period_start(period) at time zone 'UTC', 'YYYY-MM-DD') || '|' || scope;
end $$;

-- All limits that apply to the scopes, in the order in which their counters are locked. A row of the scope itself goes before `user:*`,
-- and that before the limits that are on by default: $5 per user and day, $100 per tenant and day (a row without limits lifts them).
create or replace function baton.limits_for(env text, tenant text, scopes text[]) returns baton.budget_limit[] language plpgsql volatile set search_path = '' as $$
declare
  found_limits baton.budget_limit[] := '{}';
  s text;
begin
  -- Most tenants have the defaults alone: a tenth of the time of the query below, on every turn.
  if not exists (select from baton.budgets b where b.environment = env and b.tenant_id in (tenant, '')) then
    foreach s in array scopes loop
      if s = 'tenant' or s like 'user:%' then
        found_limits := found_limits || row(baton.counter_key(env, tenant, s, 'day'), tenant, s, 'day', case when s = 'tenant' then 100000000 else 5000000 end,
          null, null, null)::baton.budget_limit;
      end if;
    end loop;
    return found_limits;
  end if;
  select array_agg(row(l.key, l.tenant_id, l.scope, l.period, l.limit_micros, l.limit_tokens, l.limit_calls, l.max_per_call_micros)::baton.budget_limit order by l.key)
  into found_limits
  from (select x.*, case when x.period <> 'run' and num_nonnulls(x.limit_micros, x.limit_tokens, x.limit_calls) > 0
      then baton.counter_key(env, x.tenant_id, x.scope, x.period) end as key
    from (select distinct on (t.scope, t.period) t.* from (
        select b.tenant_id, s.scope, b.period, b.limit_micros, b.limit_tokens, b.limit_calls, b.max_per_call_micros, (b.scope <> s.scope)::integer as rank
        from unnest(scopes) s(scope) join baton.budgets b on b.environment = env and b.tenant_id = case s.scope when 'global' then '' else tenant end
          and b.scope in (s.scope, split_part(s.scope, ':', 1) || ':*')
        union all
        select tenant, s.scope, 'day', case when s.scope = 'tenant' then 100000000 else 5000000 end, null, null, null, 2
        from unnest(scopes) s(scope) where s.scope = 'tenant' or s.scope like 'user:%') t
      order by t.scope, t.period, t.rank) x
    where num_nonnulls(x.limit_micros, x.limit_tokens, x.limit_calls, x.max_per_call_micros) > 0) l;
  return coalesce(found_limits, '{}');
end $$;

-- What stands in the counter of a limit; with `lock` the row is made if need be and locked.
create or replace function baton.counted(w baton.work, b baton.budget_limit, lock boolean) returns baton.budget_counters language plpgsql volatile set search_path = '' as $$
declare
  c baton.budget_counters;
begin
  if b.key is null then
    c.spent_micros := coalesce((w.r).cost_micros, 0);
    c.reserved_micros := coalesce((w.r).reserved_micros, 0);
    c.tokens := coalesce(((w.r).usage ->> 'inputTokens')::bigint + ((w.r).usage ->> 'outputTokens')::bigint, 0);
    c.calls := case when b.scope like 'tool:%' then (select count(*) from baton.tool_calls t where t.agent_uid = (w.a).agent_uid
      and t.run_id = (w.r).run_id and t.name = substr(b.scope, 6) and t.attempts > 0) else coalesce((w.r).model_calls, 0) end;
  elsif lock then
    select * into c from baton.budget_counters x where x.key = b.key for update;
    if not found then
      insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start)
      values (b.key, (w.a).environment, b.tenant_id, b.scope, b.period, baton.period_start(b.period)) on conflict do nothing;
      select * into c from baton.budget_counters x where x.key = b.key for update;
    end if;
    -- The limits stand beside what they limit: booking tells of thresholds without looking for them again.
    if (c.limit_micros, c.limit_tokens, c.limit_calls) is distinct from (b.limit_micros, b.limit_tokens, b.limit_calls) then
      update baton.budget_counters x set limit_micros = b.limit_micros, limit_tokens = b.limit_tokens, limit_calls = b.limit_calls where x.key = b.key;
    end if;
  else
    select * into c from baton.budget_counters x where x.key = b.key;
  end if;
  c.spent_micros := coalesce(c.spent_micros, 0);
  c.reserved_micros := coalesce(c.reserved_micros, 0);
  c.tokens := coalesce(c.tokens, 0) + coalesce(c.reserved_tokens, 0);
  c.calls := coalesce(c.calls, 0);
  return c;
end $$;

-- Whether a call of so many micros and tokens fits under the limit. What does not fit is lowered to what is left where the call can be made with
-- less (`lowest`: {micros, tokens}); else refusal says by what. A limit per call has nothing to do with what was spent: it is hard.
create or replace function baton.fit(b baton.budget_limit, c baton.budget_counters, lowest jsonb, inout micros bigint, inout tokens bigint, out refusal jsonb) language plpgsql volatile set search_path = '' as $$
declare
  room bigint := b.limit_micros - c.spent_micros - c.reserved_micros;
  token_room bigint := b.limit_tokens - c.tokens;
  asked bigint := micros;
  reason text;
begin
  if micros > b.max_per_call_micros then
    if (lowest ->> 'micros')::bigint <= b.max_per_call_micros then micros := b.max_per_call_micros; else reason := 'per_call'; end if;
  end if;
  if reason is null and micros > 0 and micros > room then
    if (lowest ->> 'micros')::bigint <= room then micros := room; else reason := 'micros'; end if;
  end if;
  if reason is null and tokens > 0 and tokens > token_room then
    if (lowest ->> 'tokens')::bigint <= token_room then tokens := token_room; else reason := 'tokens'; end if;
  end if;
  if reason is null and c.calls + 1 > b.limit_calls then reason := 'calls'; end if;
  if reason is not null then refusal := baton.refused_by(b, c, reason, asked); end if;
end $$;

create or replace function baton.refused_by(b baton.budget_limit, c baton.budget_counters, reason text, estimate bigint) returns jsonb language plpgsql volatile set search_path = '' as $$
begin
  return jsonb_build_object('scope', b.scope, 'period', b.period, 'reason', reason, 'hard', reason = 'per_call',
    'limitMicros', case when reason = 'per_call' then b.max_per_call_micros else b.limit_micros end, 'spentMicros', c.spent_micros,
    'reservedMicros', c.reserved_micros, 'estimateMicros', estimate, 'resetsAt', baton.resets_at(b.period),
    'resetsInMs', baton.millis(baton.resets_at(b.period) - baton.clock()))
    || case reason when 'tokens' then jsonb_build_object('limitTokens', b.limit_tokens, 'tokens', c.tokens)
      when 'calls' then jsonb_build_object('limitCalls', b.limit_calls, 'calls', c.calls) else '{}' end;
end $$;

-- The worst case of a run's first call: what the caller knows exactly (of its own model), or the window's upper bound at the agent's price.
create or replace function baton.first_reservation(w baton.work, p jsonb) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  price jsonb := (w.a).settings -> 'price';
  input numeric;
  output numeric;
  lowest numeric;
begin
  if p ->> 'micros' is not null and p ->> 'model' = (w.a).settings ->> 'model' then return p; end if;
  if p is null or price = 'null' then return null; end if;
  input := (w.a).window_tokens + ((w.a).settings ->> 'instructionTokens')::numeric;
  output := ((w.a).settings ->> 'maxOutputTokens')::numeric + coalesce(((w.a).settings ->> 'thinkingTokens')::numeric, 0);
  lowest := least(256, ((w.a).settings ->> 'maxOutputTokens')::numeric) + coalesce(((w.a).settings ->> 'thinkingTokens')::numeric, 0);
  return p || jsonb_build_object('model', (w.a).settings ->> 'model', 'tokens', input + output, 'micros', ceil((input * (price ->> 'inputMicrosPerMillion')::numeric
      + output * (price ->> 'outputMicrosPerMillion')::numeric) / 1000000)::bigint,
    'least', jsonb_build_object('tokens', input + lowest, 'micros', ceil((input * (price ->> 'inputMicrosPerMillion')::numeric
      + lowest * (price ->> 'outputMicrosPerMillion')::numeric) / 1000000)::bigint));
end $$;

-- What a repeated call is told of a reservation that was made.
create or replace function baton.repeated_verdict(reservation text) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select jsonb_build_object('reserved', 'granted') || case when v.lowered
      then jsonb_build_object('granted', jsonb_build_object('micros', v.micros, 'tokens', v.tokens)) else '{}' end
    from baton.reservations v where v.id = reservation and v.state = 'reserved'), '{"reserved": "none"}');
end $$;

-- Sets money aside for one model call. p: {id, step, attempt, model, micros, tokens?, least?: {micros, tokens}}. What the run itself says is decided here;
-- the counters that many runs share are asked last, by close_books, which may take the verdict back.
-- verdict: {reserved: granted|refused|none (nothing to reserve), granted: {micros, tokens} where it was lowered, refusal}
drop function if exists baton.reserve(baton.work, jsonb);
create or replace function baton.reserve(inout w baton.work, p jsonb, out verdict jsonb) language plpgsql set search_path = '' as $$
declare
  b baton.budget_limit;
  f record;
  amount bigint := (p ->> 'micros')::bigint;
  amount_tokens bigint := coalesce((p ->> 'tokens')::bigint, 0);
  keys text[] := '{}';
begin
  verdict := '{"reserved": "none"}';
  if p is null or p = 'null' or amount is null then return; end if;
  if exists (select from baton.reservations v where v.id = p ->> 'id') then
    verdict := baton.repeated_verdict(p ->> 'id') || '{"reserved": "granted"}';
    return;
  end if;
  -- Taken before the limits are read: who sets a limit waits for us, or we for them, and none of our money escapes their count.
  lock table baton.reservations in row exclusive mode;
  w.limits := baton.limits_for((w.a).environment, (w.a).tenant_id, baton.scopes_of(w.a, w.r));
  w.lowest := nullif(p -> 'least', 'null');
  b.scope := 'run:' || (w.r).run_id;
  b.period := 'run';
  b.limit_micros := ((w.r).limits ->> 'maxCostMicros')::bigint;
  b.max_per_call_micros := ((w.r).limits ->> 'maxPerCallMicros')::bigint;
  foreach b in array b || w.limits loop
    if b.key is null then
      -- Most fit, and that is seen without handing the work around.
      if b.period = 'run' and num_nonnulls(b.limit_tokens, b.limit_calls, b.max_per_call_micros) = 0
        and (w.r).cost_micros + (w.r).reserved_micros + amount <= b.limit_micros then continue; end if;
      select * into f from baton.fit(b, baton.counted(w, b, false), w.lowest, amount, amount_tokens);
      if f.refusal is not null then
        verdict := baton.tell_refusal(w, f.refusal, (p ->> 'micros')::bigint);
        return;
      end if;
      amount := f.micros;
      amount_tokens := f.tokens;
    else
      keys := keys || b.key;
    end if;
  end loop;
  verdict := '{"reserved": "granted"}';
  if amount < (p ->> 'micros')::bigint or amount_tokens < (p ->> 'tokens')::bigint then
    verdict := verdict || jsonb_build_object('granted', jsonb_build_object('micros', amount, 'tokens', amount_tokens));
  end if;
  insert into baton.reservations (id, tenant_id, environment, agent_uid, agent_id, owner_id, created_by, run_id, step, attempt, epoch, model, micros, tokens, lowered, charges)
  values (p ->> 'id', (w.a).tenant_id, (w.a).environment, (w.a).agent_uid, (w.a).id, coalesce((w.r).owner_id, (w.a).owner_id), (w.r).created_by, (w.r).run_id,
    (p ->> 'step')::integer, (p ->> 'attempt')::integer, (w.a).lease_epoch, p ->> 'model', amount, amount_tokens, verdict ? 'granted', keys);
  w.r.reserved_micros := (w.r).reserved_micros + amount;
  if keys <> '{}' then w.held := p ->> 'id'; end if;
end $$;

create or replace function baton.tell_refusal(w baton.work, refusal jsonb, estimate bigint) returns jsonb language plpgsql set search_path = '' as $$
begin
  perform baton.audit_run(w, jsonb_build_object('action', 'model.call', 'decision', 'refused', 'code', 'budget_exceeded', 'scope', refusal -> 'scope',
    'estimateMicros', estimate, 'totalMicros', (w.r).cost_micros, 'data', refusal));
  perform baton.count_refusal((w.a).environment, refusal); return jsonb_build_object('reserved', 'refused', 'refusal', refusal);
end $$;

-- The last act of a transaction: tells the counters what was settled, and asks each whether it has room for what was reserved, in their order; all
-- agree, or it is taken back. Rows stay locked from here to the end of the transaction only. verdict null: it stands as it was told.
create or replace function baton.close_books(inout w baton.work, out verdict jsonb) language plpgsql set search_path = '' as $$
declare
  v baton.reservations;
  b baton.budget_limit;
  f record;
  amount bigint;
  amount_tokens bigint;
  refusal jsonb;
begin
  if w.money is not null then w := baton.book_money(w); end if;
  if w.held is null then return; end if;
  select * into v from baton.reservations x where x.id = w.held;
  amount := v.micros;
  amount_tokens := v.tokens;
  if cardinality(v.charges) = 1 then
    -- One counter with room, whose limits stand as they did: one statement. Otherwise the long way finds out why not.
    update baton.budget_counters c set reserved_micros = c.reserved_micros + amount, reserved_tokens = c.reserved_tokens + amount_tokens, calls = c.calls + 1
    from unnest(w.limits) l where c.key = v.charges[1] and l.key = c.key and l.max_per_call_micros is null
      and (c.limit_micros, c.limit_tokens, c.limit_calls) is not distinct from (l.limit_micros, l.limit_tokens, l.limit_calls)
      and coalesce(c.spent_micros + c.reserved_micros + amount <= c.limit_micros, true) and coalesce(c.tokens + c.reserved_tokens + amount_tokens <= c.limit_tokens, true)
      and coalesce(c.calls + 1 <= c.limit_calls, true);
    w.held := case when found then null else w.held end;
    if w.held is null then return; end if;
  end if;
  foreach b in array w.limits loop
    if b.key is null then continue; end if;
    select * into f from baton.fit(b, baton.counted(w, b, true), w.lowest, amount, amount_tokens);
    refusal := f.refusal;
    exit when refusal is not null;
    amount := f.micros;
    amount_tokens := f.tokens;
  end loop;
  w.held := null;
  if refusal is not null then
    delete from baton.reservations x where x.id = v.id;
    verdict := baton.tell_refusal(w, refusal, v.micros);
    amount := 0;
  else
    update baton.budget_counters c set reserved_micros = c.reserved_micros + amount, reserved_tokens = c.reserved_tokens + amount_tokens, calls = c.calls + 1
    where c.key = any (v.charges);
    if amount < v.micros or amount_tokens < v.tokens then
      update baton.reservations x set micros = amount, tokens = amount_tokens, lowered = true where x.id = v.id;
      verdict := jsonb_build_object('reserved', 'granted', 'granted', jsonb_build_object('micros', amount, 'tokens', amount_tokens));
    end if;
  end if;
  if verdict is null then return; end if;
  w.r.reserved_micros := (w.r).reserved_micros - v.micros + amount;
  update baton.runs r set reserved_micros = (w.r).reserved_micros where r.run_id = (w.r).run_id;
end $$;
