import java.io.DataInputStream;
import java.io.EOFException;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/**
 * Walks every API the broker advertises, in every version of its range, with Kafka's own schemas: sends one filled
 * request of each, and reads the answer back with the schema of that version, to the last byte.
 * usage: Walk HOST:PORT
 */
public final class Walk {
    private static final String TOPIC = "walk";
    private static final short ANSWER_SECONDS = 60;

    /** Numbers of the protocol that no request of this walk may be answered with. */
    private static final Map<Short, String> FORBIDDEN = Map.of(
        (short) -1, "UNKNOWN_SERVER_ERROR", (short) 35, "UNSUPPORTED_VERSION", (short) 42, "INVALID_REQUEST");

    /**
     * Filled by the names of their fields alone, these requests mean nothing: Kafka itself answers INVALID_REQUEST,
     * or closes the connection (ACLs). Who serves one of them first teaches this walk what to send.
     */
    private static final Set<ApiMessageType> UNFILLED = Set.of(
        ApiMessageType.WRITE_TXN_MARKERS, ApiMessageType.DESCRIBE_ACLS, ApiMessageType.CREATE_ACLS, ApiMessageType.DELETE_ACLS,
        ApiMessageType.DESCRIBE_CLIENT_QUOTAS, ApiMessageType.ALTER_CLIENT_QUOTAS, ApiMessageType.CONSUMER_GROUP_HEARTBEAT,
        ApiMessageType.SHARE_GROUP_HEARTBEAT, ApiMessageType.SHARE_FETCH, ApiMessageType.SHARE_ACKNOWLEDGE,
        ApiMessageType.ADD_RAFT_VOTER, ApiMessageType.REMOVE_RAFT_VOTER, ApiMessageType.STREAMS_GROUP_HEARTBEAT);

    private final String host;
    private final int port;
    private Uuid topicId;
    private int correlation;
    private short version;

    private Walk(String bootstrap) {
        host = bootstrap.split(":")[0];
        port = Integer.parseInt(bootstrap.split(":")[1]);
    }

    public static void main(String[] arguments) throws Exception {
        Walk walk = new Walk(arguments[0]);
        Properties config = new Properties();
        config.put("bootstrap.servers", arguments[0]);
        try (Admin admin = Admin.create(config)) {
            admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) 1))).all().get();
            // the coordinator is there and has this group's partition, before it is asked many things about it
            admin.alterConsumerGroupOffsets("walk-warm", Map.of(new TopicPartition(TOPIC, 0), new OffsetAndMetadata(0))).all().get();
            walk.topicId = admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC).topicId();
        }
        Map<Short, short[]> advertised = walk.advertised();
        System.out.printf("# %d APIs are advertised%n", advertised.size());
        Case.run("every advertised range lies within Kafka's", () -> {
            List<String> wrong = new ArrayList<>();
            advertised.forEach((key, range) -> {
                if (!ApiKeys.hasId(key)) {
                    wrong.add("API " + key + " is not Kafka's");
                    return;
                }
                ApiMessageType type = ApiMessageType.fromApiKey(key);
                // Produce is advertised from 0 although 0-2 are refused: old librdkafka looks for exact versions
                boolean produce = type == ApiMessageType.PRODUCE && range[0] == 0;
                if (range[1] > type.highestSupportedVersion(true) || (range[0] < type.lowestSupportedVersion() && !produce)) {
                    wrong.add(type.name + " " + range[0] + "-" + range[1]);
                }
            });
            Case.check(wrong.isEmpty(), String.join(", ", wrong));
        });
        for (Map.Entry<Short, short[]> one : advertised.entrySet()) {
            ApiMessageType type = ApiMessageType.fromApiKey(one.getKey());
            short first = (short) Math.max(one.getValue()[0], type.lowestSupportedVersion());
            Case.run(type.name + " " + first + "-" + one.getValue()[1], () -> {
                List<String> wrong = new ArrayList<>();
                for (short version = first; version <= one.getValue()[1]; version++) {
                    String problem = walk.visit(type, version);
                    if (problem != null) wrong.add("v" + version + ": " + problem);
                }
                Case.check(wrong.isEmpty(), String.join("; ", wrong));
            });
        }
        Case.finish();
    }

    /** Each API the broker names in ApiVersions v4, with its range. */
    private Map<Short, short[]> advertised() throws Exception {
        Map<Short, short[]> ranges = new TreeMap<>();
        ByteBuffer body = exchange(ApiMessageType.API_VERSIONS, (short) 4, struct(ApiMessageType.API_VERSIONS.requestSchemas()[4]));
        ApiVersionsResponseData answer = new ApiVersionsResponseData(new ByteBufferAccessor(body), (short) 4);
        answer.apiKeys().forEach(api -> ranges.put(api.apiKey(), new short[] {api.minVersion(), api.maxVersion()}));
        return ranges;
    }

    /** Why this version of this API is not served well, or null. */
    private String visit(ApiMessageType type, short version) {
        this.version = version;
        ByteBuffer body;
        try {
            body = exchange(type, version, fill(type, type.requestSchemas()[version], ""));
        } catch (EOFException closed) {
            if (UNFILLED.contains(type)) return null;
            return "the connection was closed";
        } catch (Exception problem) {
            return problem.toString();
        }
        Object answer;
        try {
            answer = type.responseSchemas()[version].read(body);
        } catch (RuntimeException problem) {
            return "the answer does not fit its schema: " + problem.getMessage();
        }
        if (body.hasRemaining()) return body.remaining() + " bytes after the answer";
        Set<Short> errors = new TreeSet<>();
        collectErrors(answer, errors);
        errors.retainAll(FORBIDDEN.keySet());
        if (UNFILLED.contains(type)) return null;
        return errors.isEmpty() ? null : "answered " + errors.stream().map(FORBIDDEN::get).toList();
    }

    private ByteBuffer exchange(ApiMessageType type, short version, Struct request) throws Exception {
        correlation += 1;
        short headerVersion = type.requestHeaderVersion(version);
        ByteBuffer header = MessageUtil.toByteBufferAccessor(new RequestHeaderData().setRequestApiKey(type.apiKey())
            .setRequestApiVersion(version).setCorrelationId(correlation).setClientId("walk"), headerVersion).buffer();
        ByteBuffer frame = ByteBuffer.allocate(4 + header.remaining() + request.sizeOf());
        frame.putInt(frame.capacity() - 4).put(header);
        request.writeTo(frame);
        try (Socket socket = new Socket(host, port)) {
            socket.setSoTimeout(ANSWER_SECONDS * 1000);
            socket.getOutputStream().write(frame.array());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = new byte[in.readInt()];
            in.readFully(answer);
            ByteBuffer body = ByteBuffer.wrap(answer);
            short answerHeader = type.responseHeaderVersion(version);
            ResponseHeaderData head = new ResponseHeaderData(new ByteBufferAccessor(body), answerHeader);
            Case.equal(head.correlationId(), correlation, "correlation id");
            return body;
        }
    }

    private static void collectErrors(Object value, Set<Short> errors) {
        if (value instanceof Struct struct) {
            for (BoundField field : struct.schema().fields()) {
                Object inner = struct.get(field);
                if (field.def.name.equals("error_code") && inner instanceof Short code) errors.add(code);
                collectErrors(inner, errors);
            }
        } else if (value instanceof Object[] array) {
            for (Object element : array) collectErrors(element, errors);
        }
    }

    // -- filling a request: by the name of the field, else by its type -----------------------------------------------

    private Struct struct(Schema schema) {
        return fill(ApiMessageType.API_VERSIONS, schema, "");
    }

    private Struct fill(ApiMessageType type, Schema schema, String path) {
        Struct struct = new Struct(schema);
        for (BoundField field : schema.fields()) {
            struct.set(field, value(type, field.def.name, field.def.type, path + "." + field.def.name));
        }
        return struct;
    }

    private Object value(ApiMessageType type, String name, Type kind, String path) {
        if (kind instanceof TaggedFields) return new TreeMap<Integer, Object>();
        if (kind instanceof Schema schema) return fill(type, schema, path);
        if (kind.isArray()) {
            Type element = kind.arrayElementType().orElseThrow();
            return EMPTY_ARRAYS.contains(type.name + path) ? new Object[0] : new Object[] {value(type, name, element, path)};
        }
        if (kind == Type.UUID) {
            // both a name and an id is a contradiction to these two
            boolean byName = type == ApiMessageType.DELETE_TOPICS || (type == ApiMessageType.METADATA && version < 12);
            return name.equals("topic_id") && !byName ? topicId : Uuid.ZERO_UUID;
        }
        if (kind.toString().contains("RECORDS")) {
            return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(System.currentTimeMillis(), "k".getBytes(), "v".getBytes()));
        }
        if (kind == Type.BOOLEAN) return name.equals("validate_only") || name.equals("dry_run");
        if (kind == Type.INT8) return (byte) bounded(type, name);
        if (kind == Type.INT16) return (short) bounded(type, name);
        if (kind == Type.UINT16) return (int) bounded(type, name);
        if (kind == Type.INT32) return (int) bounded(type, name);
        if (kind == Type.UNSIGNED_INT32) return bounded(type, name);
        if (kind == Type.INT64) return bounded(type, name);
        if (kind == Type.FLOAT64) return 1.0;
        if (kind == Type.BYTES || kind == Type.COMPACT_BYTES || kind == Type.NULLABLE_BYTES || kind == Type.COMPACT_NULLABLE_BYTES) {
            return ByteBuffer.wrap(new byte[] {0, 0, 0, 0, 0, 0});
        }
        return text(type, name, kind);
    }

    /** Lists of things this walk does not have, or must not touch. Everything else gets one element. */
    private static final Set<String> EMPTY_ARRAYS = Set.of(
        "CreateTopicsRequest.topics.assignments", "CreatePartitionsRequest.topics.assignments.broker_ids",
        "FetchRequest.forgotten_topics_data", "StreamsGroupHeartbeatRequest.warmup_tasks");

    /** A number that makes sense under this name. */
    private static long bounded(ApiMessageType type, String name) {
        return switch (name) {
            case "acks" -> -1;
            case "replication_factor" -> 1;
            case "num_partitions" -> 1;
            case "count" -> 2;
            case "timeout_ms", "timeout", "session_timeout_ms", "rebalance_timeout_ms", "transaction_timeout_ms", "max_lifetime_ms" -> 10_000;
            case "max_wait_ms" -> 10;
            case "min_bytes" -> 0;
            case "max_bytes", "partition_max_bytes" -> 1 << 20;
            case "max_records", "batch_size" -> 10;
            case "replica_id", "leader_epoch", "current_leader_epoch", "last_fetched_epoch", "generation_id", "generation_id_or_member_epoch",
                "member_epoch", "retention_time_ms", "committed_leader_epoch", "commit_timestamp", "producer_id", "producer_epoch" -> -1;
            case "session_epoch" -> type == ApiMessageType.FETCH ? -1 : 0;
            case "share_session_epoch" -> 0;
            case "timestamp" -> type == ApiMessageType.LIST_OFFSETS ? -1 : 0;
            case "partition_limit", "response_partition_limit" -> 10;
            case "resource_type", "resource_types" -> 2;
            case "config_operation" -> 0;
            case "key_type" -> 0;
            case "broker_id", "node_id", "controller_id", "voter_id" -> 4242; // nobody: this walk must not unregister the broker
            default -> 0;
        };
    }

    private Object text(ApiMessageType type, String name, Type kind) {
        String made = type == ApiMessageType.CREATE_TOPICS ? "walk-made" : type == ApiMessageType.DELETE_TOPICS ? "walk-absent" : TOPIC;
        return switch (name) {
            case "transactional_id", "v3_and_below_transactional_id" ->
                kind.isNullable() && type != ApiMessageType.ADD_PARTITIONS_TO_TXN ? null : "walk-transaction";
            case "group_instance_id", "rack_id", "reason", "assignor", "topics_regex", "rack", "error_message" -> kind.isNullable() ? null : "";
            case "topic", "topics", "topic_name", "topic_names", "resource_name" -> made;
            case "name" -> switch (type) {
                case INCREMENTAL_ALTER_CONFIGS, ALTER_CONFIGS -> "retention.ms";
                case JOIN_GROUP -> "range";
                case CREATE_TOPICS, DELETE_TOPICS, METADATA, PRODUCE, FETCH, LIST_OFFSETS, OFFSET_COMMIT, OFFSET_FETCH, DELETE_RECORDS,
                    CREATE_PARTITIONS, OFFSET_DELETE, DESCRIBE_PRODUCERS, DESCRIBE_TOPIC_PARTITIONS -> made;
                default -> TOPIC;
            };
            case "value" -> "3600000";
            case "config_name" -> "retention.ms";
            case "protocol_type" -> "consumer";
            case "protocol_name" -> "range";
            case "member_id" -> "";
            // a group for each JoinGroup: the member of the former would be waited for until its session expires
            case "group_id" -> type == ApiMessageType.JOIN_GROUP ? "walk-group-" + version : "walk-group";
            case "group", "groups", "groups_names", "key", "coordinator_keys" -> "walk-group";
            case "client_software_name", "client_software_version" -> "walk";
            case "states_filter", "types_filter" -> "";
            case "mechanism" -> "PLAIN";
            default -> kind.isNullable() ? null : "walk";
        };
    }
}
