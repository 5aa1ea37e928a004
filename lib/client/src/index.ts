export { chatTransport, type ChatTransport, type ChatTransportOptions } from '#client/chat-transport'
export { createBaton, type Approvals, type Baton, type Budgets } from '#client/client'
export type { AgentFilter, Agents, MessageOptions } from '#client/agents'
export { BatonError, type BatonErrorInit, type Problem } from '#client/errors'
export type {
  AgentState,
  ApprovalDecided,
  ApprovalRequired,
  BatonEvent,
  Blocked,
  Channel,
  Done,
  EventType,
  MonitorEvent,
  RunState,
  StateChanged,
  StepReset,
  TextDelta,
  TextEnd,
  TextStart,
  ToolCallRecord,
  ToolEnd,
  ToolStart,
  Usage,
} from '#client/events'
export type { ApiRequest, BatonOptions, CallOptions } from '#client/http'
export type { ListOptions, Page, Pages } from '#client/pages'
export type { EventOptions, RunFilter, Runs, WaitOptions } from '#client/runs'
export type { Outcome, SentMessage } from '#client/sent'
export type {
  Agent,
  AgentDetails,
  Approval,
  Budget,
  BudgetLimits,
  BudgetOfScope,
  BudgetPeriod,
  CreateAgent,
  Decision,
  ExternalCall,
  Json,
  Limits,
  Message,
  MessageContent,
  MessageFields,
  MessagePart,
  Overrides,
  PatchAgent,
  PendingApproval,
  PermissionRules,
  Run,
  RunDetails,
  ToolCall,
  UsageGroup,
  UsageRow,
  WebhookTarget,
} from '#client/types'
export { verifyWebhook, type Delivery, type HeadersLike, type VerifyOptions, type WebhookEvent, type WebhookType } from '#client/webhooks'
