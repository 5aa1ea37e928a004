-- Webhooks: the endpoints of a tenant, how an event reaches everybody who asked for it, the log of its deliveries.
-- Lock order: a delivery first, then its endpoint.
create table if not exists baton.webhook_endpoints (
  id text primary key,
  tenant_id text not null references baton.tenants (id) on delete cascade,
  environment text not null,
  url text not null,
  description text,
  -- Null: every event that need not be asked for.
  events text[],
  -- [{sealed, createdAt, until}] newest first, two at most.
  secrets jsonb not null,
  enabled boolean not null default true,
  disabled_reason text check (disabled_reason in ('caller', 'gone', 'failing')),
  disabled_at timestamptz,
  failing_since timestamptz,
  -- Failed attempts in a row.
  failures integer not null default 0,
  last_error text,
  created_by text,
  created_at timestamptz not null default baton.clock(),
  updated_at timestamptz not null default baton.clock()
);
create index if not exists webhook_endpoints_of_tenant on baton.webhook_endpoints (tenant_id, id);

alter table baton.webhook_deliveries add column if not exists endpoint_id text;
-- Pages of the log go by it; ids of deliveries are random.
alter table baton.webhook_deliveries add column if not exists number bigint generated always as identity;
-- Attempts made before the schedule began anew with a redelivery.
alter table baton.webhook_deliveries add column if not exists schedule_from integer not null default 0;
create index if not exists deliveries_of_endpoint on baton.webhook_deliveries (endpoint_id, number) where endpoint_id is not null;
create index if not exists deliveries_of_agent on baton.webhook_deliveries (agent_uid) where run_id is null;
-- queued_at says since when a delivery waits for somebody: a sweep reads a tenant's oldest and never its whole flood.
drop index if exists baton.deliveries_due;
create index if not exists deliveries_waiting on baton.webhook_deliveries (environment, tenant_id, queued_at) where next_at is not null;

-- Events that are written only for endpoints that name them.
create or replace function baton.wants_event(events text[], type text) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  return case when coalesce(cardinality(events), 0) = 0 then type <> 'run.handed_off' else type = any (events) end;
end $$;

-- A row for the clock. Its lane bounds how many are delivered at a time. A tenant has two, for the clock has places for few: whoever had one for each
-- receiver would take all of them with slow ones. What fails has the second, and then those who are well keep to the first.
create or replace function baton.queue_delivery(d baton.webhook_deliveries, failing boolean) returns jsonb language plpgsql set search_path = '' as $$
declare
  row_id text := baton.new_id('out');
  lane integer := case when failing then 1
    when exists (select from baton.webhook_endpoints e where e.tenant_id = d.tenant_id and e.enabled and e.failing_since is not null) then 0
    else pg_catalog.hashtext(coalesce(d.endpoint_id, split_part(d.url, '/', 3))) & 1 end;
  data jsonb := jsonb_build_object('tenantId', d.tenant_id, 'deliveryId', d.id, 'lane', d.tenant_id || ' ' || lane);
begin
  insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at)
  values (row_id, d.tenant_id, d.environment, 'webhook', d.agent_uid, data, d.next_at);
  return jsonb_build_object('id', row_id, 'kind', 'webhook', 'data', data, 'dueInMs', greatest(0, baton.millis(d.next_at - baton.clock())));
end $$;

create or replace function baton.write_delivery(d baton.webhook_deliveries, failing boolean) returns jsonb language plpgsql set search_path = '' as $$
begin
  insert into baton.webhook_deliveries (id, event_id, tenant_id, environment, agent_uid, run_id, endpoint_id, url, secret, type, payload, next_at, queued_at)
  values (baton.new_id('dlv'), d.event_id, d.tenant_id, d.environment, d.agent_uid, d.run_id, d.endpoint_id, d.url, d.secret, d.type, d.payload,
    baton.clock(), baton.clock()) returning * into d;
  return jsonb_build_array(baton.queue_delivery(d, failing));
end $$;

-- One event under one id: to the address in d, where there is one, and to each endpoint that wants it. Answers the rows for the clock.
create or replace function baton.fan_out(d baton.webhook_deliveries, but text default null) returns jsonb language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints;
  rows jsonb := '[]';
begin
  d.event_id := baton.new_id('evt');
  if d.url is not null then rows := baton.write_delivery(d, false); end if;
  d.secret := null;
  for e in select * from baton.webhook_endpoints x where x.tenant_id = d.tenant_id and x.environment = d.environment and x.enabled
    and x.id is distinct from but and baton.wants_event(x.events, d.type) order by x.id
  loop
    d.endpoint_id := e.id;
    d.url := e.url;
    rows := rows || baton.write_delivery(d, e.failing_since is not null);
  end loop;
  return rows;
end $$;

-- An event of an agent or run: to the message's address, else the agent's, else the tenant's (the same order for the secret), and to the
-- endpoints. Nothing is built where nobody asked.
drop function if exists baton.write_webhook(baton.work, text);
create or replace function baton.write_webhook(w baton.work, type text, extra jsonb default '{}') returns baton.work language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
  t record;
  target jsonb;
begin
  select x.webhook, x.webhook_secret, exists (select from baton.webhook_endpoints e where e.tenant_id = x.id and e.enabled and baton.wants_event(e.events, type)) as others
  into t from baton.tenants x where x.id = (w.a).tenant_id;
  if baton.wants_event(null, type) then target := coalesce((w.r).webhook, (w.a).webhook, t.webhook); end if;
  if target is null and not t.others then return w; end if;
  d.tenant_id := (w.a).tenant_id;
  d.environment := (w.a).environment;
  d.agent_uid := (w.a).agent_uid;
  d.run_id := (w.r).run_id;
  d.url := target ->> 'url';
  d.secret := coalesce((w.r).webhook ->> 'secret', (w.a).webhook ->> 'secret', t.webhook_secret);
  d.type := type;
  d.payload := json_build_object('type', type, 'timestamp', baton.clock(), 'data', coalesce(extra, '{}') || jsonb_build_object('agentId', (w.a).id,
    'runId', (w.r).run_id, 'state', (w.r).state, 'stopReason', (w.r).stop_reason, 'usage', (w.r).usage, 'costMicros', (w.r).cost_micros,
    'output', left((w.r).output, 2000), 'lastSeq', (w.a).last_event_seq, 'metadata', (w.r).metadata));
  w.rows := coalesce(w.rows, '[]') || baton.fan_out(d);
  return w;
end $$;

-- {id, environment, holdMs} A worker takes the delivery for holdMs; another one gets {ok: false}. Address and secrets are the endpoint's
-- of this moment. What is for a disabled endpoint is laid aside until it is enabled again.
create or replace function baton.take_delivery(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
  e baton.webhook_endpoints;
  secrets jsonb;
begin
  select * into d from baton.webhook_deliveries x
  where x.id = p ->> 'id' and x.environment = p ->> 'environment' and x.state = 'pending' and x.next_at <= baton.clock() for update;
  if not found then return baton.refuse('nothing_due'); end if;
  if d.endpoint_id is not null then
    select * into e from baton.webhook_endpoints x where x.id = d.endpoint_id;
    if found and not e.enabled then
      -- Asked again with a lock: one that is being enabled lays nothing aside behind the back of what resumes.
      select * into e from baton.webhook_endpoints x where x.id = d.endpoint_id for share;
    end if;
    if e.id is null or not e.enabled then
      update baton.webhook_deliveries x set next_at = null, state = case when e.id is null then 'failed' else 'pending' end,
        ended_at = case when e.id is null then baton.clock() end where x.id = d.id;
      return baton.refuse('nothing_due');
    end if;
  end if;
  update baton.webhook_deliveries x set next_at = baton.clock() + baton.duration((p ->> 'holdMs')::numeric), attempts = x.attempts + 1,
    url = coalesce(e.url, x.url),
    log = case when d.attempts > 0 and d.attempts is distinct from (d.log -> -1 ->> 'attempt')::integer
      then baton.logged(d.log, jsonb_build_object('attempt', d.attempts, 'status', null, 'error', 'The process that made this attempt has died; its outcome is unknown'))
      else x.log end
  where x.id = d.id returning * into d;
  secrets := case when d.endpoint_id is null then case when d.secret is null then '[]' else jsonb_build_array(d.secret) end else
    (select coalesce(jsonb_agg(s.value -> 'sealed' order by s.ordinality), '[]') from jsonb_array_elements(e.secrets) with ordinality s
      where s.value ->> 'until' is null or (s.value ->> 'until')::timestamptz > baton.clock()) end;
  return json_build_object('ok', true, 'id', d.id, 'eventId', d.event_id, 'endpointId', d.endpoint_id, 'url', d.url, 'secrets', secrets,
    'payload', d.payload, 'attempt', d.attempts, 'tries', d.attempts - d.schedule_from,
    'traceparent', (select r.traceparent from baton.runs r where r.run_id = d.run_id));
end $$;

-- The last 20 attempts are kept.
create or replace function baton.logged(log jsonb, entry jsonb) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return (case when jsonb_array_length(log) >= 20 then log - 0 else log end) || (jsonb_build_object('at', baton.clock()) || entry);
end $$;

-- {id, environment, attempt, delivered, gone, refused, blame, status, error, snippet, durationMs, retryInMs|null, disableAfterMs, disableAfterFailures}
-- What became of the attempt; the next one is a new outbox row. 410 disables the endpoint at once, failure for long disables it too.
create or replace function baton.record_delivery(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
  e baton.webhook_endpoints;
  delivered boolean := (p ->> 'delivered')::boolean;
  gone boolean := coalesce((p ->> 'gone')::boolean, false);
  retry interval := baton.duration((p ->> 'retryInMs')::numeric);
  rows jsonb := '[]';
  disabled text;
begin
  update baton.webhook_deliveries x set
    state = case when delivered then 'delivered' when retry is null then 'failed' else 'pending' end,
    next_at = case when not delivered then baton.clock() + retry end,
    queued_at = case when not delivered and retry is not null then baton.clock() + retry else x.queued_at end,
    ended_at = case when delivered or retry is null then baton.clock() end,
    log = baton.logged(x.log, jsonb_build_object('attempt', p -> 'attempt', 'status', p -> 'status', 'error', p -> 'error', 'durationMs', p -> 'durationMs',
      'response', left(p ->> 'snippet', 1024)))
  where x.id = p ->> 'id' and x.environment = p ->> 'environment' and x.state = 'pending' and x.attempts = (p ->> 'attempt')::integer
    -- Once: a repeat after a lost reply finds its entry.
    and coalesce((x.log -> -1 ->> 'attempt')::integer, 0) < (p ->> 'attempt')::integer
  returning * into d;
  if not found then return baton.refuse('nothing_due'); end if;
  perform baton.count(d.environment, jsonb_build_array(jsonb_build_array('baton_webhook_deliveries_total', jsonb_build_object('outcome', case d.state when 'pending' then 'retry' else d.state end), '', 1))
    || baton.observed('baton_webhook_duration_seconds', '{}', baton.duration((p ->> 'durationMs')::numeric)));
  if (p ->> 'refused')::boolean then
    perform baton.write_audit(jsonb_build_object('tenant', d.tenant_id, 'environment', d.environment, 'action', 'webhook.deliver', 'decision', 'refused',
      'code', 'webhook_refused', 'reason', p ->> 'error', 'runId', d.run_id, 'data', jsonb_build_object('webhook', d.endpoint_id, 'delivery', d.id)));
  end if;
  if d.endpoint_id is not null and delivered then
    update baton.webhook_endpoints x set failing_since = null, failures = 0, last_error = null where x.id = d.endpoint_id and x.failing_since is not null;
  elsif d.endpoint_id is not null and coalesce((p ->> 'blame')::boolean, true) then
    update baton.webhook_endpoints x set failing_since = coalesce(x.failing_since, baton.clock()), failures = x.failures + 1, last_error = left(p ->> 'error', 300)
    where x.id = d.endpoint_id and x.enabled returning * into e;
    if e.id is not null and (gone or e.failures >= (p ->> 'disableAfterFailures')::integer
      and e.failing_since <= baton.clock() - baton.duration((p ->> 'disableAfterMs')::numeric)) then
      disabled := case when gone then 'gone' else 'failing' end;
      rows := baton.disable_endpoint(e, disabled);
    end if;
  end if;
  if d.state = 'pending' then rows := rows || jsonb_build_array(baton.queue_delivery(d, true)); end if;
  return json_build_object('ok', true, 'outbox', rows, 'disabled', disabled, 'failures', e.failures, 'failingSince', e.failing_since);
end $$;

-- By itself, after 410 or long failure: told to the audit log and to the tenant's other endpoints.
create or replace function baton.disable_endpoint(e baton.webhook_endpoints, reason text) returns jsonb language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
begin
  update baton.webhook_endpoints x set enabled = false, disabled_reason = reason, disabled_at = baton.clock(), updated_at = baton.clock() where x.id = e.id;
  perform baton.raise_alert(e.environment, 'webhook:' || e.id, format('Baton (%s): webhook endpoint %s of tenant %s is disabled (%s) after %s failed attempts.', e.environment, e.id,
    e.tenant_id, reason, e.failures));
  perform baton.write_audit(jsonb_build_object('tenant', e.tenant_id, 'environment', e.environment, 'action', 'webhook.disable', 'decision', 'recorded',
    'code', reason, 'reason', e.last_error, 'data', jsonb_build_object('webhook', e.id, 'failures', e.failures, 'failingSince', e.failing_since)));
  d.tenant_id := e.tenant_id;
  d.environment := e.environment;
  d.type := 'webhook.disabled';
  d.payload := json_build_object('type', d.type, 'timestamp', baton.clock(), 'data', json_build_object('webhookId', e.id, 'reason', reason,
    'failures', e.failures, 'failingSince', e.failing_since));
  return baton.fan_out(d, e.id);
end $$;
