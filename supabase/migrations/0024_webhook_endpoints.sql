-- What an administrator does with webhook endpoints and their deliveries. Each p is an authorized request; the right is admin.

create or replace function baton.endpoint_json(e baton.webhook_endpoints) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('id', e.id, 'url', e.url, 'description', e.description, 'events', e.events, 'enabled', e.enabled,
    'disabledReason', e.disabled_reason, 'disabledAt', e.disabled_at, 'failingSince', e.failing_since, 'failures', e.failures, 'lastError', e.last_error,
    'secrets', (select coalesce(json_agg(json_build_object('createdAt', s.value -> 'createdAt', 'expiresAt', s.value -> 'until') order by s.ordinality), '[]')
      from jsonb_array_elements(e.secrets) with ordinality s where s.value ->> 'until' is null or (s.value ->> 'until')::timestamptz > baton.clock()),
    'createdBy', e.created_by, 'createdAt', e.created_at, 'updatedAt', e.updated_at);
end $$;

create or replace function baton.delivery_json(d baton.webhook_deliveries, payload boolean) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('id', d.id, 'number', d.number, 'eventId', d.event_id, 'webhookId', d.endpoint_id, 'runId', d.run_id, 'type', d.type, 'url', d.url,
    'state', d.state, 'attempts', d.attempts, 'nextAt', d.next_at, 'log', d.log, 'createdAt', d.created_at, 'endedAt', d.ended_at)
    || case when payload then jsonb_build_object('payload', d.payload) else '{}' end;
end $$;

-- The endpoint of the request, locked; no row where it is another tenant's.
create or replace function baton.find_webhook(p jsonb) returns baton.webhook_endpoints language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints;
begin
  select * into e from baton.webhook_endpoints x where x.id = p ->> 'webhook' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment'
  for no key update;
  return e;
end $$;

create or replace function baton.audit_webhook(p jsonb, action text, data jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform baton.audit_request(p, jsonb_build_object('action', action, 'decision', 'allowed', 'data', data));
end $$;

-- {action, webhook?, reason} An address that was refused before it came here; a caller without the right never gets so far.
create or replace function baton.refuse_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  perform baton.audit_request(p, jsonb_build_object('action', p ->> 'action', 'decision', 'refused', 'code', 'webhook_refused', 'reason', p ->> 'reason',
    'data', jsonb_build_object('webhook', p ->> 'webhook')));
  return json_build_object('ok', true);
end $$;

-- {webhook, url, events?, description?, sealed, most} The id is the caller's, so a repeat after a lost reply finds its first result.
create or replace function baton.create_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints;
begin
  -- One at a time in a tenant, so that twins do not pass the bound together.
  perform 1 from baton.tenants t where t.id = p ->> 'tenant' and t.environment = p ->> 'environment' for no key update;
  if not found then return baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant')); end if;
  e := baton.find_webhook(p);
  if e.id is not null then return json_build_object('ok', true, 'webhook', baton.endpoint_json(e)); end if;
  if (select count(*) from baton.webhook_endpoints x where x.tenant_id = p ->> 'tenant') >= (p ->> 'most')::integer then
    perform baton.audit_request(p, '{"action": "webhook.create", "decision": "refused", "code": "webhook_limit"}');
    return baton.refuse('webhook_limit', jsonb_build_object('limit', p -> 'most'));
  end if;
  insert into baton.webhook_endpoints (id, tenant_id, environment, url, description, events, secrets, created_by)
  values (p ->> 'webhook', p ->> 'tenant', p ->> 'environment', p ->> 'url', p ->> 'description', baton.event_list(p),
    jsonb_build_array(jsonb_build_object('sealed', p -> 'sealed', 'createdAt', baton.clock(), 'until', null)), p ->> 'caller') returning * into e;
  perform baton.audit_webhook(p, 'webhook.create', jsonb_build_object('webhook', e.id, 'events', e.events));
  return json_build_object('ok', true, 'webhook', baton.endpoint_json(e));
end $$;

-- No names are the same as none: all but the events that must be asked for.
create or replace function baton.event_list(p jsonb) returns text[] language plpgsql stable set search_path = '' as $$
begin
  return case when jsonb_typeof(p -> 'events') = 'array' then nullif(array(select distinct x from jsonb_array_elements_text(p -> 'events') x order by x), '{}') end;
end $$;

create or replace function baton.get_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints := baton.find_webhook(p);
begin
  if e.id is null then return baton.refuse('webhook_not_found'); end if;
  return json_build_object('ok', true, 'webhook', baton.endpoint_json(e));
end $$;

create or replace function baton.list_webhooks(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  page json;
begin
  select json_agg(baton.endpoint_json(x.e) order by (x.e).id) into page from (select e from baton.webhook_endpoints e where e.tenant_id = p ->> 'tenant'
    and e.environment = p ->> 'environment' and e.id > coalesce(p ->> 'after', '') order by e.id limit (p ->> 'limit')::integer) x;
  return json_build_object('ok', true, 'data', coalesce(page, '[]'));
end $$;

-- Enabling holds the endpoint and asks for its deliveries, deleting goes the other way round: never both at once.
create or replace function baton.one_webhook(p jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('baton:webhook:' || (p ->> 'webhook'), 0));
end $$;

-- {webhook, url?, events?, description?, enabled?} What is absent stays. Enabling, or another address, forgives what failed and sends what waits.
create or replace function baton.patch_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints;
  enabling boolean;
  moved boolean;
  d baton.webhook_deliveries;
  rows jsonb := '[]';
begin
  perform baton.one_webhook(p);
  e := baton.find_webhook(p);
  if e.id is null then return baton.refuse('webhook_not_found'); end if;
  enabling := coalesce((p ->> 'enabled')::boolean, e.enabled) and not e.enabled;
  moved := p ? 'url' and e.url <> p ->> 'url';
  if moved then e.url := p ->> 'url'; end if;
  if p ? 'events' then e.events := baton.event_list(p); end if;
  if p ? 'description' then e.description := p ->> 'description'; end if;
  if enabling or moved then
    -- What the old address did says nothing about the new one.
    e.failing_since := null;
    e.failures := 0;
    e.last_error := null;
  end if;
  if enabling then
    e.disabled_reason := null;
    e.disabled_at := null;
  elsif e.enabled and not coalesce((p ->> 'enabled')::boolean, true) then
    e.disabled_reason := 'caller';
    e.disabled_at := baton.clock();
  end if;
  e.enabled := coalesce((p ->> 'enabled')::boolean, e.enabled);
  update baton.webhook_endpoints x set (url, events, description, enabled, disabled_reason, disabled_at, failing_since, failures, last_error, updated_at)
    = (e.url, e.events, e.description, e.enabled, e.disabled_reason, e.disabled_at, e.failing_since, e.failures, e.last_error, baton.clock())
  where x.id = e.id returning * into e;
  if e.enabled and (enabling or moved) then
    -- What waits has waited for this. An attempt in hand is left to itself, and nobody who holds a delivery is waited for: they may wait for this endpoint.
    update baton.webhook_deliveries x set next_at = baton.clock(), queued_at = '-infinity' where x.id in (select y.id from baton.webhook_deliveries y
      where y.endpoint_id = e.id and y.state = 'pending' and (y.next_at is null
        or y.next_at > baton.clock() and y.attempts is not distinct from coalesce((y.log -> -1 ->> 'attempt')::integer, 0)) for update skip locked);
    -- The oldest go at once, the rest with the sweeps.
    for d in select * from baton.webhook_deliveries x where x.endpoint_id = e.id and x.queued_at = '-infinity' and x.state = 'pending' order by x.number
      limit 20 for update skip locked loop
      update baton.webhook_deliveries x set queued_at = baton.clock() where x.id = d.id;
      rows := rows || jsonb_build_array(baton.queue_delivery(d, true));
    end loop;
  end if;
  perform baton.audit_webhook(p, 'webhook.update', jsonb_build_object('webhook', e.id, 'enabled', e.enabled,
    'changed', (select coalesce(jsonb_agg(k order by k), '[]') from unnest(array['url', 'events', 'description', 'enabled']) k where p ? k)));
  return json_build_object('ok', true, 'webhook', baton.endpoint_json(e), 'outbox', rows);
end $$;

-- {webhook, sealed, overlapMs} The new secret and, until the overlap is over, the one before it sign; an older one is dropped.
create or replace function baton.rotate_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints := baton.find_webhook(p);
begin
  if e.id is null then return baton.refuse('webhook_not_found'); end if;
  -- A repeat after a lost reply brings the same sealed text.
  if e.secrets -> 0 ->> 'sealed' <> p ->> 'sealed' then
    update baton.webhook_endpoints x set updated_at = baton.clock(), secrets = jsonb_build_array(
      jsonb_build_object('sealed', p -> 'sealed', 'createdAt', baton.clock(), 'until', null),
      e.secrets -> 0 || jsonb_build_object('until', baton.clock() + baton.duration((p ->> 'overlapMs')::numeric)))
    where x.id = e.id returning * into e;
    perform baton.audit_webhook(p, 'webhook.rotate', jsonb_build_object('webhook', e.id, 'overlapMs', p -> 'overlapMs'));
  end if;
  return json_build_object('ok', true, 'webhook', baton.endpoint_json(e));
end $$;

-- With its log. A worker that is at it finds nothing to record.
create or replace function baton.delete_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  gone text;
begin
  -- The deliveries first: whoever records one holds it and then asks for the endpoint.
  if not exists (select from baton.webhook_endpoints x where x.id = p ->> 'webhook' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment') then
    return baton.refuse('webhook_not_found');
  end if;
  perform baton.one_webhook(p);
  perform from baton.webhook_deliveries d where d.endpoint_id = p ->> 'webhook' order by d.id for update;
  delete from baton.webhook_deliveries d where d.endpoint_id = p ->> 'webhook';
  delete from baton.webhook_endpoints x where x.id = p ->> 'webhook' returning x.id into gone;
  if gone is null then return baton.refuse('webhook_not_found'); end if;
  perform baton.audit_webhook(p, 'webhook.delete', jsonb_build_object('webhook', gone));
  return json_build_object('ok', true);
end $$;

-- {webhook} An event of its own for this endpoint alone, whatever its filter says.
create or replace function baton.test_webhook(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints := baton.find_webhook(p);
  d baton.webhook_deliveries;
  rows jsonb;
begin
  if e.id is null then return baton.refuse('webhook_not_found'); end if;
  if not e.enabled then return baton.refuse('webhook_disabled', jsonb_build_object('disabledReason', e.disabled_reason)); end if;
  d.event_id := baton.new_id('evt');
  d.tenant_id := e.tenant_id;
  d.environment := e.environment;
  d.endpoint_id := e.id;
  d.url := e.url;
  d.type := 'webhook.test';
  d.payload := json_build_object('type', d.type, 'timestamp', baton.clock(), 'data', json_build_object('webhookId', e.id));
  rows := baton.write_delivery(d, e.failing_since is not null);
  perform baton.audit_webhook(p, 'webhook.test', jsonb_build_object('webhook', e.id));
  return json_build_object('ok', true, 'outbox', rows, 'eventId', d.event_id, 'deliveryId', rows -> 0 -> 'data' ->> 'deliveryId');
end $$;

-- {webhook, state?, type?, runId?, from?, to?, after?, limit} Newest first.
create or replace function baton.list_deliveries(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  e baton.webhook_endpoints := baton.find_webhook(p);
  page json;
begin
  if e.id is null then return baton.refuse('webhook_not_found'); end if;
  select json_agg(baton.delivery_json(x.d, false) order by (x.d).number desc) into page from (
    select d from baton.webhook_deliveries d where d.endpoint_id = e.id and d.number < coalesce((p ->> 'after')::bigint, 9223372036854775807)
      and (p ->> 'state' is null or d.state = p ->> 'state') and (p ->> 'type' is null or d.type = p ->> 'type')
      and (p ->> 'runId' is null or d.run_id = p ->> 'runId')
      and (p ->> 'from' is null or d.created_at >= (p ->> 'from')::timestamptz) and (p ->> 'to' is null or d.created_at < (p ->> 'to')::timestamptz)
    order by d.number desc limit (p ->> 'limit')::integer) x;
  return json_build_object('ok', true, 'data', coalesce(page, '[]'));
end $$;

-- {webhook, delivery}
create or replace function baton.get_delivery(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  d baton.webhook_deliveries;
begin
  select * into d from baton.webhook_deliveries x where x.id = p ->> 'delivery' and x.endpoint_id = p ->> 'webhook' and x.tenant_id = p ->> 'tenant'
    and x.environment = p ->> 'environment';
  if not found then return baton.refuse('delivery_not_found'); end if;
  return json_build_object('ok', true, 'delivery', baton.delivery_json(d, true));
end $$;

-- {delivery, webhook} or {delivery, runId} for one to an address of a message or agent. The same event id, an attempt now, and the
-- schedule from its beginning. One that is being attempted at this moment is left to that attempt.
create or replace function baton.redeliver(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
  e baton.webhook_endpoints;
  rows jsonb := '[]';
begin
  select * into d from baton.webhook_deliveries x where x.id = p ->> 'delivery' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment'
    and case when p ? 'webhook' then x.endpoint_id = p ->> 'webhook' else x.endpoint_id is null and x.run_id = p ->> 'runId' end;
  if not found then return baton.refuse('delivery_not_found'); end if;
  if d.endpoint_id is not null then
    select * into e from baton.webhook_endpoints x where x.id = d.endpoint_id;
    -- Before the delivery is held: enabling passes over what somebody holds, and what was laid aside would be so for ever. Behind the lock nothing is refused any
    -- more: for an endpoint that was disabled meanwhile a worker lays it aside again.
    if not coalesce(e.enabled, false) then return baton.refuse('webhook_disabled', jsonb_build_object('disabledReason', e.disabled_reason)); end if;
  end if;
  select * into d from baton.webhook_deliveries x where x.id = d.id for update;
  if not found then return baton.refuse('delivery_not_found'); end if;
  if d.state <> 'pending' or d.attempts = 0 or d.attempts = (d.log -> -1 ->> 'attempt')::integer or coalesce(d.next_at, '-infinity') <= baton.clock() then
    update baton.webhook_deliveries x set state = 'pending', next_at = baton.clock(), queued_at = baton.clock(), ended_at = null, schedule_from = x.attempts
    where x.id = d.id returning * into d;
    rows := jsonb_build_array(baton.queue_delivery(d, e.failing_since is not null));
  end if;
  perform baton.audit_webhook(p, 'webhook.redeliver', jsonb_build_object('webhook', d.endpoint_id, 'delivery', d.id, 'event', d.event_id));
  return json_build_object('ok', true, 'outbox', rows, 'delivery', baton.delivery_json(d, false));
end $$;
