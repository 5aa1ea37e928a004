-- What health and metrics look at, and the lines that people on call are sent.
-- cron_at: when the clock itself last swept; requests sweep too, and would hide that it is dead. since: when anything was first due from it.
alter table baton.sweeps add column if not exists cron_at timestamptz;
alter table baton.sweeps add column if not exists since timestamptz not null default baton.clock();

-- A line for BATON_ALERT_WEBHOOK, told by the next sweep of any process: one a cause in ten minutes. Pending until a process says that it was taken;
-- told_at: when one was last given it to tell; taken_at: when one last said that it was.
create table if not exists baton.alerts (
  environment text not null,
  cause text not null,
  text text not null,
  pending boolean not null default true,
  raised_at timestamptz not null default baton.clock(),
  told_at timestamptz,
  primary key (environment, cause)
);
alter table baton.alerts add column if not exists taken_at timestamptz;

-- One line in ten minutes; who was given it and has said nothing for two has not told it.
create or replace function baton.may_tell(a baton.alerts) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  return a.told_at is null or a.told_at < baton.clock() - case when a.taken_at >= a.told_at then interval '10 minutes' else interval '2 minutes' end;
end $$;

create or replace function baton.raise_alert(env text, of_cause text, line text) returns void language plpgsql set search_path = '' as $$
begin
  insert into baton.alerts as a (environment, cause, text) values (env, of_cause, line)
  on conflict (environment, cause) do update set text = excluded.text, raised_at = excluded.raised_at, pending = true
  where a.told_at is null or a.told_at <= baton.clock() - interval '10 minutes';
end $$;

-- A budget that stops work: it is used up, or what is left is less than a call may cost. Once a period, and once a day of one that is longer, unless it has
-- another limit since.
create or replace function baton.alert_budget(env text, b baton.budget_limit) returns void language plpgsql set search_path = '' as $$
declare
  of_cause text := 'budget:' || b.tenant_id || ':' || b.scope || ':' || b.period;
  line text := format('Baton (%s): the budget of %s (%s) is used up, or what is left is less than a call may cost%s.', env, b.scope,
    concat_ws(', ', nullif(b.tenant_id, ''), b.period, '$' || trim_scale(b.limit_micros / 1000000.0), b.limit_tokens || ' tokens', b.limit_calls || ' calls'),
    coalesce(', until ' || to_char(baton.resets_at(b.period) at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', ''));
  since timestamptz := greatest(baton.period_start(b.period), baton.clock() - interval '1 day');
begin
  if exists (select from baton.alerts x where x.environment = env and x.cause = of_cause and x.text = line and x.raised_at >= since) then return; end if;
  perform baton.raise_alert(env, of_cause, line);
end $$;

-- The lines that nobody has taken yet, for the one who asks. What is a day old is forgotten.
create or replace function baton.take_alerts(env text) returns jsonb language plpgsql set search_path = '' as $$
declare
  lines jsonb;
  day_ago timestamptz := baton.clock() - interval '1 day';
begin
  -- Nobody is waited for: a commit may hold one and wait for what the sweep holds.
  delete from baton.alerts a where a.ctid = any (array(select x.ctid from baton.alerts x where x.environment = env and x.raised_at < day_ago and x.cause <> 'health' for update skip locked));
  with taken as (
    update baton.alerts a set told_at = baton.clock() where (a.environment, a.cause) in (
      select x.environment, x.cause from baton.alerts x where x.environment = env and x.pending and baton.may_tell(x)
      order by x.raised_at limit 20 for update skip locked)
    returning a.cause, a.text, a.raised_at
  ) select coalesce(jsonb_agg(jsonb_build_object('cause', t.cause, 'text', t.text) order by t.raised_at), '[]') into lines from taken t;
  return lines;
end $$;

-- {environment, causes} Their lines were taken. One that was raised again since it was given stays pending.
create or replace function baton.alerts_told(p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  update baton.alerts a set pending = coalesce(a.raised_at > a.told_at, false), taken_at = baton.clock() where a.environment = p ->> 'environment' and a.cause in (select jsonb_array_elements_text(p -> 'causes'));
  return json_build_object('ok', true);
end $$;

-- {environment, status, text} -> {send}: true for the one process that shall tell of the change. The row of cause health keeps the present status. A status
-- that comes back within ten minutes stays pending: a sweep tells it when they are over, so that the last line is true.
create or replace function baton.tell_health(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  of_cause text := 'health:' || (p ->> 'status');
  now_at timestamptz := baton.clock();
  last baton.alerts;
  send boolean;
begin
  -- A first look that finds all well is no news.
  insert into baton.alerts as a (environment, cause, text, pending) values (env, 'health', 'healthy', false) on conflict do nothing;
  update baton.alerts a set text = p ->> 'status', raised_at = now_at where a.environment = env and a.cause = 'health' and a.text <> p ->> 'status';
  if not found then return json_build_object('ok', true, 'send', false); end if;
  -- A status that is over is no news any more, though nobody may have taken it.
  update baton.alerts a set pending = false where a.environment = env and a.cause like 'health:%' and a.cause <> of_cause and a.pending;
  -- Nor is one that people have heard last.
  select * into last from baton.alerts a where a.environment = env and a.cause like 'health:%' and a.told_at is not null order by a.told_at desc limit 1;
  if last.cause = of_cause and last.taken_at >= last.told_at then return json_build_object('ok', true, 'send', false); end if;
  insert into baton.alerts as a (environment, cause, text, raised_at, told_at) values (env, of_cause, p ->> 'text', now_at, now_at)
  on conflict (environment, cause) do update set text = excluded.text, pending = true, raised_at = excluded.raised_at, told_at = case when baton.may_tell(a) then excluded.told_at else a.told_at end
  returning a.told_at = now_at into send;
  return json_build_object('ok', true, 'send', send);
end $$;

-- Model providers whose last call failed, one row each while they do: a call that is answered removes it.
create table if not exists baton.model_faults (
  environment text not null,
  provider text not null,
  code text not null,
  failures integer not null,
  since timestamptz not null,
  last_at timestamptz not null,
  primary key (environment, provider)
);

-- What a commit tells of its model call. Nobody waits for anybody here: of failures at the same instant one may go uncounted.
drop function if exists baton.note_provider(text, jsonb);
-- True where it was noted as a failure.
create or replace function baton.note_provider(env text, m jsonb) returns boolean language plpgsql set search_path = '' as $$
declare
  of_provider text := split_part(m ->> 'name', '/', 1);
  now_at timestamptz := baton.clock();
  f baton.model_faults;
begin
  if m ->> 'outcome' not in ('provider_unavailable', 'provider_timeout', 'provider_rate_limited', 'provider_auth', 'provider_quota') then
    if exists (select from baton.model_faults x where x.environment = env and x.provider = of_provider) then
      delete from baton.model_faults d where d.ctid = any (array(select x.ctid from baton.model_faults x where x.environment = env and x.provider = of_provider for update skip locked));
    end if;
    return false;
  end if;
  select * into f from baton.model_faults x where x.environment = env and x.provider = of_provider for update skip locked;
  if found then
    -- A failure of long ago is no beginning of this one.
    update baton.model_faults x set code = m ->> 'outcome', last_at = now_at, failures = case when f.last_at < now_at - baton.fault_time() then 1 else f.failures + 1 end,
      since = case when f.last_at < now_at - baton.fault_time() then now_at else f.since end where x.environment = env and x.provider = of_provider;
  elsif not exists (select from baton.model_faults x where x.environment = env and x.provider = of_provider) then
    insert into baton.model_faults (environment, provider, code, failures, since, last_at) values (env, of_provider, m ->> 'outcome', 1, now_at, now_at) on conflict do nothing;
  end if;
  return true;
end $$;

-- What has not been tried for so long is not known.
create or replace function baton.fault_time() returns interval language sql immutable set search_path = '' as $$ select interval '10 minutes' $$;

create or replace function baton.failing_providers(env text) returns json language plpgsql volatile set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
begin
  return (select coalesce(json_agg(json_build_object('provider', f.provider, 'code', f.code, 'failures', f.failures, 'sinceMs', baton.millis(now_at - f.since)) order by f.provider), '[]')
    from baton.model_faults f where f.environment = env and f.last_at > now_at - baton.fault_time());
end $$;

-- Milliseconds since the oldest due run was due and nobody was at it; null when none is. The first of each tenant: behind a dead clock a hundred thousand may wait.
create or replace function baton.oldest_due(env text) returns bigint language plpgsql stable set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
begin
  return (
    with recursive tenants as (
      (select x.tenant_id from baton.runs x where x.environment = env and x.due_at is not null order by x.tenant_id limit 1)
      union all
      select (select x.tenant_id from baton.runs x where x.environment = env and x.due_at is not null and x.tenant_id > t.tenant_id order by x.tenant_id limit 1)
      from tenants t where t.tenant_id is not null
    ) select baton.millis(now_at - min(q.due_at)) from tenants t cross join lateral (select r.due_at from baton.runs r join baton.agents a using (agent_uid)
      where r.environment = env and r.tenant_id = t.tenant_id and r.due_at is not null and r.due_at <= now_at and (a.lease_owner is null or a.lease_until <= now_at)
      order by r.due_at limit 1) q);
end $$;

create or replace function baton.oldest_outbox(env text) returns bigint language plpgsql stable set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
begin
  return (
    with recursive tenants as (
      (select x.tenant_id from baton.outbox x where x.environment = env and x.sent_at is null order by x.tenant_id limit 1)
      union all
      select (select x.tenant_id from baton.outbox x where x.environment = env and x.sent_at is null and x.tenant_id > t.tenant_id order by x.tenant_id limit 1)
      from tenants t where t.tenant_id is not null
    ) select baton.millis(now_at - min(q.since)) from tenants t cross join lateral (select greatest(o.due_at, o.created_at) as since from baton.outbox o
      where o.environment = env and o.tenant_id = t.tenant_id and o.sent_at is null and o.due_at <= now_at order by o.due_at limit 1) q);
end $$;

-- Milliseconds since the clock last swept; before its first time, since it was first due to.
create or replace function baton.sweep_age(env text) returns bigint language sql stable set search_path = '' as $$
  select baton.millis(baton.clock() - coalesce(s.cron_at, s.since)) from baton.sweeps s where s.environment = env
$$;

-- {environment, tenant, keyHash|null} -> what the queue looks like, the migrations that were applied, and whether the key may see details: an admin key
-- of the deployment's own tenant. Audit entries that are missing cannot be written any more: they are told for a day after the last one.
create or replace function baton.health(p jsonb) returns json language plpgsql volatile set search_path = '' as $$
declare
  env text := p ->> 'environment';
begin
  return json_build_object('ok', true, 'now', baton.clock(), 'lastSweepAgeMs', baton.sweep_age(env), 'oldestDueAgeMs', baton.oldest_due(env),
    'oldestOutboxAgeMs', baton.oldest_outbox(env), 'migrations', (select json_agg(m.name order by m.name) from baton.migrations m),
    'details', exists (select from baton.api_keys k where k.hash = p ->> 'keyHash' and k.environment = env and k.tenant_id = p ->> 'ownTenant' and baton.key_live(k) and 'admin' = any (k.scopes)),
    'auditFailures', coalesce((select f.failures from baton.audit_failures f where f.environment = env and f.last_at > baton.clock() - interval '1 day'), 0),
    'providers', baton.failing_providers(env), 'readOnly', current_setting('transaction_read_only') = 'on');
end $$;

-- How many agents an environment has: counted up to `most`, about as many as the planner takes them for beyond. Tenants belong to one environment, so that
-- an index alone answers, and a preview never reads through the agents of production.
create or replace function baton.agents_about(env text, most integer) returns bigint language plpgsql volatile set search_path = '' as $$
declare
  n bigint := (select count(*) from (select from baton.tenants t cross join lateral (select from baton.agents a where a.tenant_id = t.id limit most + 1) a where t.environment = env limit most + 1) x);
  plan json;
begin
  if n <= most then return n; end if;
  execute format('explain (format json) select from baton.agents a where a.environment = %L', env) into plan;
  return greatest(n, (plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint);
end $$;

-- What stands in the tables now, as samples [name, labels, part, value].
create or replace function baton.gauges(env text) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
  samples jsonb;
begin
  -- Agents at work are those of open runs: few beside all there are.
  with open_runs as materialized (
    select r.agent_uid, r.state, r.wait_kind, r.due_at from baton.runs r where r.environment = env and r.ended_at is null
  ), busy as (
    select a.state, count(*) as n from baton.agents a where a.agent_uid in (select o.agent_uid from open_runs o) and a.state <> 'ready' group by a.state
  ), every as (
    select baton.agents_about(env, 10000) as n
  ), depth (queue, n) as (
    select 'inbox', (select count(*) from open_runs o where o.state = 'queued')
    union all select 'due', (select count(*) from open_runs o join baton.agents a using (agent_uid) where o.due_at <= now_at and (a.lease_owner is null or a.lease_until <= now_at))
    union all select 'outbox', (select count(*) from baton.outbox x where x.environment = env and x.sent_at is null and x.due_at <= now_at)
    union all select 'webhooks', (select count(*) from baton.webhook_deliveries d where d.environment = env and d.next_at is not null)
  ), used as (
    select split_part(c.scope, ':', 1) as scope, c.period, max(greatest((c.spent_micros + c.reserved_micros)::numeric / nullif(c.limit_micros, 0), (c.tokens + c.reserved_tokens)::numeric / nullif(c.limit_tokens, 0),
      c.calls::numeric / nullif(c.limit_calls, 0))) as ratio
    from baton.budget_totals c where c.environment = env and c.period_start = baton.period_start(c.period)
      -- One of an agent that is deleted stops nobody, and would stand here for ever.
      and (c.scope not like 'agent:%' or exists (select from baton.agents a where a.tenant_id = c.tenant_id and a.id = substr(c.scope, 7))) group by 1, 2
  ), samples (name, labels, value) as (
    select 'baton_agents', jsonb_build_object('state', s.state), case s.state when 'ready' then (select n from every) - coalesce((select sum(n) from busy), 0) else coalesce((select n from busy b where b.state = s.state), 0) end::double precision
      from (values ('ready'), ('working'), ('paused')) s(state)
    union all select 'baton_runs_open', jsonb_build_object('state', s.state), (select count(*) from open_runs o where o.state = s.state) from (values ('queued'), ('running'), ('awaiting_approval'), ('waiting')) s(state)
    union all select 'baton_queue_depth', jsonb_build_object('queue', d.queue), d.n from depth d
    union all select 'baton_outbox_lag_seconds', '{}', coalesce(baton.oldest_outbox(env), 0) / 1000.0
    union all select 'baton_due_lag_seconds', '{}', coalesce(baton.oldest_due(env), 0) / 1000.0
    union all select 'baton_sweep_age_seconds', '{}', baton.sweep_age(env) / 1000.0
    union all select 'baton_budget_utilization_ratio', jsonb_build_object('scope', u.scope, 'period', u.period), u.ratio from used u where u.ratio is not null
    union all select 'baton_switches', jsonb_build_object('mode', s.mode), (select count(*) from baton.switches x where x.environment = env and x.mode = s.mode) from (values ('kill'), ('hold')) s(mode)
    union all select 'baton_model_provider_failures', jsonb_build_object('provider', f.provider, 'code', f.code), f.failures from baton.model_faults f
      where f.environment = env and f.last_at > now_at - baton.fault_time()
    union all select 'baton_webhook_endpoints', jsonb_build_object('state', s.state), (select count(*) from baton.webhook_endpoints e where e.environment = env
        and s.state = case when e.enabled then 'enabled' when e.disabled_reason = 'caller' then 'off' else 'disabled' end) from (values ('enabled'), ('disabled'), ('off')) s(state)
    union all select 'baton_audit_failures_total', '{}', coalesce((select f.failures from baton.audit_failures f where f.environment = env), 0)
    union all select 'baton_table_bytes', jsonb_build_object('table', c.relname), pg_catalog.pg_total_relation_size(c.oid)
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'baton' and c.relkind = 'r'
    union all select 'baton_table_rows', jsonb_build_object('table', t.relname), t.n_live_tup from pg_catalog.pg_stat_user_tables t where t.schemaname = 'baton'
    union all select 'baton_table_operations_total', jsonb_build_object('table', t.relname, 'operation', o.operation), o.n
      from pg_catalog.pg_stat_user_tables t cross join lateral (values ('insert', t.n_tup_ins), ('update', t.n_tup_upd), ('delete', t.n_tup_del), ('read', coalesce(t.seq_tup_read, 0) + coalesce(t.idx_tup_fetch, 0))) o(operation, n)
      where t.schemaname = 'baton'
  ) select jsonb_agg(jsonb_build_array(s.name, s.labels, '', s.value)) into samples from samples s where s.value is not null;
  return samples;
end $$;

-- {environment, ownTenant} -> {ok, now, samples: [[name, labels, part, value], ...]}: the totals, what is not folded yet, and the gauges. Behind a backlog its oldest
-- part alone: a scrape ends in its time, and no counter is less than before. They tell of all tenants,
-- so only the deployment's own tenant is shown them.
create or replace function baton.read_metrics(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  counted jsonb;
begin
  if p ->> 'tenant' is distinct from p ->> 'ownTenant' then return baton.refuse('forbidden', '{"reason": "operator_only"}'); end if;
  perform baton.fold_metrics(env, interval '1 second');
  with entries as (
    select t.name, t.labels, t.part, t.value from baton.metric_totals t where t.environment = env
    union all
    select e.name, e.labels, e.part, e.value from (select x.counts from baton.metric_deltas x where x.environment = env order by x.id limit 10000) d
      cross join lateral baton.samples_of(d.counts) e
  ), summed as (
    select e.name, e.labels, e.part, case e.part when 'min' then min(e.value) when 'max' then max(e.value) else sum(e.value) end as value from entries e group by 1, 2, 3
  ) select jsonb_agg(jsonb_build_array(s.name, s.labels, s.part, s.value)) into counted from summed s;
  return json_build_object('ok', true, 'now', baton.clock(), 'samples', coalesce(counted, '[]') || baton.gauges(env));
end $$;
