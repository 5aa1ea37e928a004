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

-- What stands in a counter beside its row, where many runs share it: far from its limit each backend adds to a part, so that no two wait for each
-- other (docs/decisions/0021). Parts are made with their counter, all of them, or those who lock them would not see one that is new.
create table if not exists baton.budget_parts (
  key text not null references baton.budget_counters on delete cascade,
  part integer not null,
  spent_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  tokens bigint not null default 0,
  reserved_tokens bigint not null default 0,
  calls bigint not null default 0,
  primary key (key, part)
) with (fillfactor = 50);

-- Counters with their parts, in the shape of a counter.
create or replace view baton.budget_totals as
select c.key, c.environment, c.tenant_id, c.scope, c.period, c.period_start, c.limit_micros, c.limit_tokens, c.limit_calls, c.spent_micros + p.spent as spent_micros,
  c.reserved_micros + p.reserved as reserved_micros, c.tokens + p.tokens as tokens, c.reserved_tokens + p.reserved_tokens as reserved_tokens, c.calls + p.calls as calls, c.told
from baton.budget_counters c cross join lateral (
  select coalesce(sum(x.spent_micros), 0)::bigint as spent, coalesce(sum(x.reserved_micros), 0)::bigint as reserved, coalesce(sum(x.tokens), 0)::bigint as tokens,
    coalesce(sum(x.reserved_tokens), 0)::bigint as reserved_tokens, coalesce(sum(x.calls), 0)::bigint as calls
  from baton.budget_parts x where x.key = c.key) p;

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
  return date_trunc(period, baton.began() at time zone 'UTC') at time zone 'UTC';
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

create or replace function baton.make_parts(of_key text, of_scope text) returns void language plpgsql set search_path = '' as $$
begin
  if not baton.is_shared(of_scope) then return; end if;
  insert into baton.budget_parts (key, part) select of_key, n from generate_series(0, 7) n on conflict do nothing;
end $$;

-- Alone with a counter: waits for all who add to its parts, and puts what they hold into its row. All null where there is none.
create or replace function baton.lock_counter(of_key text) returns baton.budget_counters language plpgsql set search_path = '' as $$
declare
  c baton.budget_counters;
begin
  -- Looked at first: one that is seen has its parts. One that came after a look for its parts would be locked without them.
  select * into c from baton.budget_counters x where x.key = of_key;
  if not found then return c; end if;
  if baton.is_shared(c.scope) then
    perform from baton.budget_parts p where p.key = of_key order by p.part for update;
    with held as (
      select sum(p.spent_micros)::bigint as spent, sum(p.reserved_micros)::bigint as reserved, sum(p.tokens)::bigint as tokens, sum(p.reserved_tokens)::bigint as reserved_tokens,
        sum(p.calls)::bigint as calls, bool_or((p.spent_micros, p.reserved_micros, p.tokens, p.reserved_tokens, p.calls) <> (0, 0, 0, 0, 0)) as any_held from baton.budget_parts p where p.key = of_key
    ), emptied as (
      update baton.budget_parts p set spent_micros = 0, reserved_micros = 0, tokens = 0, reserved_tokens = 0, calls = 0 from held h where p.key = of_key and h.any_held
    )
    update baton.budget_counters x set spent_micros = x.spent_micros + h.spent, reserved_micros = x.reserved_micros + h.reserved, tokens = x.tokens + h.tokens,
      reserved_tokens = x.reserved_tokens + h.reserved_tokens, calls = x.calls + h.calls from held h where x.key = of_key and h.any_held;
  end if;
  select * into c from baton.budget_counters x where x.key = of_key for update;
  return c;
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
    c.calls := case when b.scope like 'tool:%' then (select count(*) from baton.tool_calls t
      where t.run_id = (w.r).run_id and t.name = substr(b.scope, 6) and t.attempts > 0) else coalesce((w.r).model_calls, 0) end;
  elsif lock then
    c := baton.lock_counter(b.key);
    if c.key is null then
      insert into baton.budget_counters (key, environment, tenant_id, scope, period, period_start)
      values (b.key, (w.a).environment, b.tenant_id, b.scope, b.period, baton.period_start(b.period)) on conflict do nothing;
      if found then perform baton.make_parts(b.key, b.scope); end if;
      c := baton.lock_counter(b.key);
    end if;
    if (c.limit_micros, c.limit_tokens, c.limit_calls) is distinct from (b.limit_micros, b.limit_tokens, b.limit_calls) then
      perform baton.limit_counters(array[b.key], b);
    end if;
  else
    select * into c from baton.budget_totals x where x.key = b.key;
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
  perform baton.count_refusal(w, refusal); return jsonb_build_object('reserved', 'refused', 'refusal', refusal);
end $$;
