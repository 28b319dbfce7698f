// Everything an application does with kafkajs, at its defaults. usage: program.js HOST:PORT
const assert = require('node:assert/strict')
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const kafka = new Kafka({ clientId: 'ringlog-test', brokers: [process.argv[2]], logLevel: logLevel.NOTHING })
const admin = kafka.admin()
// recent: retention would take older records away while the test runs
const BASE = Date.now() - 3600000
let failed = 0

async function testCase(name, body) {
  const began = Date.now()
  try {
    await body()
    console.log(`ok ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
  } catch (problem) {
    failed += 1
    const line = (problem.stack || '').match(/program\.js:(\d+)/)
    console.log(`not ok ${name} -- ${problem.name}: ${String(problem.message).replace(/\s+/g, ' ')} (line ${line && line[1]})`)
  }
}

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

async function waitUntil(condition, what, seconds = 150) {
  const end = Date.now() + seconds * 1000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`)
    await pause(50)
  }
}

async function send(topic, messages, more = {}) {
  const producer = kafka.producer(more.producer)
  await producer.connect()
  try {
    return await producer.send({ topic, messages, ...more.send })
  } finally {
    await producer.disconnect()
  }
}

// A running consumer of one group; `messages` is what it has seen, `partitions` what it owns.
class Member {
  constructor(groupId, topic, options = {}) {
    this.messages = []
    this.partitions = []
    this.consumer = kafka.consumer({ groupId, ...options })
    this.topic = topic
    this.consumer.on(this.consumer.events.GROUP_JOIN, event => {
      this.partitions = event.payload.memberAssignment[topic] || []
    })
  }

  async start(runOptions = {}) {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [this.topic], fromBeginning: true })
    await this.consumer.run({
      eachMessage: async ({ partition, message }) => {
        this.messages.push({ partition, offset: Number(message.offset), value: message.value && message.value.toString(), message })
      },
      ...runOptions,
    })
    return this
  }

  async leave() {
    await this.consumer.disconnect()
  }
}

async function adminTopics() {
  await testCase('admin: create, describe, alter', async () => {
    const created = await admin.createTopics({
      waitForLeaders: true,
      topics: [
        { topic: 'js-data', numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '7200000' }] },
        { topic: 'js-group', numPartitions: 4 },
        { topic: 'js-time', numPartitions: 1 },
      ],
    })
    assert.equal(created, true)
    assert.equal(await admin.createTopics({ topics: [{ topic: 'js-data', numPartitions: 3 }] }), false, 'created twice')
    assert.ok((await admin.listTopics()).includes('js-group'))
    const { topics } = await admin.fetchTopicMetadata({ topics: ['js-data'] })
    assert.equal(topics[0].partitions.length, 3)
    const cluster = await admin.describeCluster()
    assert.equal(`${cluster.brokers[0].host}:${cluster.brokers[0].port}`, process.argv[2])

    const resource = { type: ConfigResourceTypes.TOPIC, name: 'js-data' }
    const value = async () => {
      const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: true })
      return resources[0].configEntries.find(entry => entry.configName === 'retention.ms').configValue
    }
    assert.equal(await value(), '7200000')
    // kafkajs knows only the legacy AlterConfigs, which replaces everything that was set
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600001' }] }] })
    await waitUntil(async () => (await value()) === '3600001', 'retention.ms to change')
    await admin.createPartitions({ topicPartitions: [{ topic: 'js-time', count: 2 }] })
    await waitUntil(async () => (await admin.fetchTopicOffsets('js-time')).length === 2, 'two partitions')
  })
}

async function data() {
  await testCase('produce and consume', async () => {
    const messages = [...Array(1500).keys()].map(i => ({
      key: `k${i}`, value: `v${i}`, partition: i % 3, timestamp: String(BASE + i), headers: { n: String(i) },
    }))
    const acked = await send('js-data', messages)
    assert.deepEqual(acked.map(a => [a.partition, a.errorCode, a.baseOffset]).sort(), [[0, 0, '0'], [1, 0, '0'], [2, 0, '0']])
    const member = await new Member('js-data-group', 'js-data').start()
    await waitUntil(() => member.messages.length >= 1500, '1500 messages')
    await member.leave()
    for (const partition of [0, 1, 2]) {
      assert.deepEqual(
        member.messages.filter(m => m.partition === partition).map(m => [m.offset, m.value, m.message.timestamp, m.message.headers.n.toString()]),
        messages.filter(m => m.partition === partition).map((m, i) => [i, m.value, m.timestamp, m.headers.n]))
    }
  })

  await testCase('gzip', async () => {
    await send('js-gzip', [...Array(500).keys()].map(i => ({ value: `gzip ${i}`, partition: 0 })), { send: { compression: CompressionTypes.GZIP } })
    const member = await new Member('js-gzip-group', 'js-gzip').start()
    await waitUntil(() => member.messages.length >= 500, '500 messages')
    await member.leave()
    assert.deepEqual(member.messages.map(m => m.value), [...Array(500).keys()].map(i => `gzip ${i}`))
  })

  await testCase('idempotent producer', async () => {
    const producer = kafka.producer({ idempotent: true })
    await producer.connect()
    for (let i = 0; i < 50; i++) {
      const [acked] = await producer.send({ topic: 'js-once', messages: [{ value: `${i}`, partition: 0 }] })
      assert.equal(acked.baseOffset, String(i))
    }
    await producer.disconnect()
  })

  await testCase('seek by time', async () => {
    await send('js-time', [...Array(100).keys()].map(i => ({ value: `${i}`, partition: 0, timestamp: String(BASE + i * 1000) })))
    const offsets = await admin.fetchTopicOffsetsByTimestamp('js-time', BASE + 49500)
    assert.equal(offsets.find(o => o.partition === 0).offset, '50')
    const member = new Member('js-time-group', 'js-time')
    await member.start()
    member.consumer.seek({ topic: 'js-time', partition: 0, offset: '50' })
    await waitUntil(() => member.messages.some(m => m.offset === 99), 'the last message')
    await member.leave()
    const from = member.messages.findIndex(m => m.offset === 50)
    assert.deepEqual(member.messages.slice(-50).map(m => m.offset), [...Array(50).keys()].map(i => i + 50), `seek began at ${from}`)
  })
}

async function groups() {
  await testCase('group: join and leave', async () => {
    const produce = prefix => send('js-group', [...Array(100).keys()].map(i => ({ value: `${prefix}${i}`, partition: i % 4 })))
    const seen = (...members) => new Set(members.flatMap(m => m.messages.map(x => x.value))).size
    const first = await new Member('js-members', 'js-group').start()
    await waitUntil(() => first.partitions.length === 4, 'one member with four partitions')
    await produce('a')
    await waitUntil(() => first.messages.length === 100, '100 messages')
    const second = await new Member('js-members', 'js-group').start()
    await waitUntil(() => first.partitions.length === 2 && second.partitions.length === 2, 'two members with two each')
    await produce('b')
    await waitUntil(() => seen(first, second) === 200, '200 messages at both')
    await first.leave()
    await waitUntil(() => second.partitions.length === 4, 'four partitions at the one that stays')
    await produce('c')
    await waitUntil(() => seen(first, second) === 300, '300 messages at both')
    const { groups: described } = await admin.describeGroups(['js-members'])
    assert.equal(described[0].state, 'Stable')
    assert.equal(described[0].members.length, 1)
    await assert.rejects(admin.deleteGroups(['js-members']), problem => problem.groups[0].error.type === 'NON_EMPTY_GROUP')
    await second.leave()
  })

  await testCase('commit and resume', async () => {
    await send('js-resume', [...Array(100).keys()].map(i => ({ value: `${i}`, partition: 0 })))
    const first = await new Member('js-resume-group', 'js-resume').start({ autoCommit: false })
    await waitUntil(() => first.messages.length === 100, '100 messages')
    await first.consumer.commitOffsets([{ topic: 'js-resume', partition: 0, offset: '42', metadata: 'a note' }])
    await first.leave()
    const [{ partitions: [committed] }] = await admin.fetchOffsets({ groupId: 'js-resume-group', topics: ['js-resume'] })
    assert.deepEqual([committed.offset, committed.metadata], ['42', 'a note'])
    const second = await new Member('js-resume-group', 'js-resume').start()
    await waitUntil(() => second.messages.length === 58, '58 messages')
    assert.equal(second.messages[0].offset, 42)
    await second.leave()
  })
}

async function errorsAndCleanup() {
  const refused = async (promise, type) => {
    await assert.rejects(promise, problem => {
      const types = [problem.type, ...(problem.errors || []).map(e => e.type), problem.originalError && problem.originalError.type, problem.cause && problem.cause.type]
      assert.ok(types.includes(type), `expected ${type}, found ${types} ${problem}`)
      return true
    })
  }

  await testCase('errors', async () => {
    await refused(send('js-data', [{ value: 'x'.repeat(2000000), partition: 0 }], { producer: { retry: { retries: 0 } } }), 'MESSAGE_TOO_LARGE')
    await refused(admin.createTopics({ topics: [{ topic: 'js bad name', numPartitions: 1 }] }), 'INVALID_TOPIC_EXCEPTION')
    await refused(admin.createTopics({ topics: [{ topic: 'js-bad', replicationFactor: 5 }] }), 'INVALID_REPLICATION_FACTOR')
    await refused(admin.createTopics({ topics: [{ topic: 'js-bad', configEntries: [{ name: 'retention.ms', value: 'soon' }] }] }), 'INVALID_CONFIG')
    await refused(admin.fetchTopicOffsets('js-absent'), 'UNKNOWN_TOPIC_OR_PARTITION')
    await refused(admin.createPartitions({ topicPartitions: [{ topic: 'js-data', count: 2 }] }), 'INVALID_PARTITIONS')
  })

  await testCase('admin: groups and deletion', async () => {
    const { groups: listed } = await admin.listGroups()
    assert.ok(listed.some(g => g.groupId === 'js-resume-group'))
    await admin.setOffsets({ groupId: 'js-resume-group', topic: 'js-resume', partitions: [{ partition: 0, offset: '7' }] })
    const [{ partitions: [moved] }] = await admin.fetchOffsets({ groupId: 'js-resume-group', topics: ['js-resume'] })
    assert.equal(moved.offset, '7')
    await admin.deleteGroups(['js-resume-group'])
    await admin.deleteTopicRecords({ topic: 'js-time', partitions: [{ partition: 0, offset: '30' }] })
    assert.equal((await admin.fetchTopicOffsets('js-time')).find(o => o.partition === 0).low, '30')
    await admin.deleteTopics({ topics: ['js-data'] })
    await waitUntil(async () => !(await admin.listTopics()).includes('js-data'), 'the topic to be gone')
  })
}

async function main() {
  await admin.connect()
  await adminTopics()
  await data()
  await groups()
  await errorsAndCleanup()
  await admin.disconnect()
  process.exit(failed ? 1 : 0)
}

main().catch(problem => {
  console.log(`not ok program -- ${problem.stack}`)
  process.exit(1)
})
