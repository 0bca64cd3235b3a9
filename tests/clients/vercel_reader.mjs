// The Vercel AI SDK as a client. Reads one request a line from stdin, as JSON, and writes what it heard, one line each.
// Run by tests/e2e/client_process.py with the packages that `make test` installs beside this file.

import { createInterface } from 'node:readline'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, streamText, tool } from 'ai'

globalThis.AI_SDK_LOG_WARNINGS = false

function modelOf(asked) {
  const options = { apiKey: 'none', headers: asked.headers }
  if (asked.api === 'messages') return createAnthropic({ ...options, baseURL: `${asked.url}/v1` })(asked.model)
  const baseURL = `${asked.url}/v1`
  if (asked.api === 'responses') return createOpenAI({ ...options, baseURL }).responses(asked.model)
  return createOpenAICompatible({ ...options, name: 'tailrace', baseURL, includeUsage: true })(asked.model)
}

function toolsOf(asked) {
  return Object.fromEntries(
    asked.tools.map(({ function: { name, parameters } }) => [name, tool({ inputSchema: jsonSchema(parameters) })]),
  )
}

async function heard(asked) {
  const options = {
    model: modelOf(asked),
    prompt: asked.question,
    maxRetries: 0,
    maxOutputTokens: asked.max_tokens,
    ...(asked.tools.length > 0 && { tools: toolsOf(asked) }),
  }
  return told(asked.stream ? await streamed(options) : await generateText(options))
}

// Reads the parts as a chat page does, and says what they add up to; a part with an error is a failure.
async function streamed(options) {
  const sum = { text: '', reasoningText: '', toolCalls: [], finishReason: undefined, usage: {} }
  const inputs = {}
  const errors = []
  for await (const part of streamText({ ...options, onError: () => {} }).fullStream) {
    if (part.type === 'text-delta') sum.text += part.text
    else if (part.type === 'reasoning-delta') sum.reasoningText += part.text
    else if (part.type === 'tool-input-start') inputs[part.id] = ''
    else if (part.type === 'tool-input-delta') inputs[part.id] += part.delta
    else if (part.type === 'tool-call') {
      const text = inputs[part.toolCallId]
      if (JSON.stringify(JSON.parse(text)) !== JSON.stringify(part.input)) throw new Error(`the input streamed: ${text}`)
      sum.toolCalls.push(part)
    } else if (part.type === 'error') errors.push(part.error)
    else if (part.type === 'finish') Object.assign(sum, { finishReason: part.finishReason, usage: part.totalUsage })
  }
  if (errors.length > 0) throw errors[0]
  return sum
}

function told({ text, reasoningText, toolCalls, finishReason, usage }) {
  return {
    texts: [text],
    reasoning: reasoningText ?? '',
    calls: toolCalls.map(({ toolName, input }) => [toolName, input]),
    finish: finishReason === 'tool-calls' ? 'tools' : finishReason,
    usage: [usage.inputTokens ?? 0, usage.outputTokens ?? 0],
  }
}

function failed(error) {
  const { name = typeof error, statusCode = null, message = JSON.stringify(error) } = error
  return { error: { kind: name, status: statusCode, message } }
}

for await (const line of createInterface({ input: process.stdin })) {
  const said = await heard(JSON.parse(line)).catch(failed)
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
