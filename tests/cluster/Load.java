import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The load of the cluster drills with Java's clients: an idempotent producer with acks=all that lives through every
 * fault, and a reader beside it. What was acknowledged and what was read go to files, which tests/harness/history.py
 * compares. Commands come in lines, each is answered by one (tests/harness/load.py):
 *
 * <pre>
 * start KEY=VALUE...   bootstrap topic partitions interval_us id acks reads [producer.X] [consumer.X]
 * stop                 no more records; waits until each one sent is answered
 * drain                reads to the end, which all producers have reached now
 * read KEY=VALUE...    bootstrap topic partitions reads: a new reader, from the first offset to the end
 * </pre>
 */
public final class Load {
    /** No delivery is given up: a record that was not acknowledged says nothing. */
    private static final String DELIVERY_MS = "600000";
    private static final Duration POLL = Duration.ofMillis(100);
    private static final long READ_NS = 300_000_000_000L;

    private final Map<String, String> words;
    private final String topic;
    private final int partitions;
    private final Map<String, AtomicLong> failures = new TreeMap<>();
    private final AtomicLong acknowledged = new AtomicLong();
    private volatile boolean producing = true;
    private volatile boolean reading = true;
    private Thread producer;
    private Thread reader;
    private long sent;
    private long read;

    private Load(Map<String, String> words) {
        this.words = words;
        topic = words.get("topic");
        partitions = Integer.parseInt(words.get("partitions"));
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Load load = null;
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            Map<String, String> words = new HashMap<>();
            String[] parts = line.trim().split(" ");
            for (int at = 1; at < parts.length; at++) {
                String[] pair = parts[at].split("=", 2);
                words.put(pair[0], pair[1]);
            }
            switch (parts[0]) {
                case "start" -> {
                    load = new Load(words);
                    load.start();
                    answer("started");
                }
                case "stop" -> answer(load.stop());
                case "drain" -> answer(load.drain());
                case "read" -> answer(new Load(words).readAll());
                default -> answer("unknown " + parts[0]);
            }
        }
    }

    private static void answer(String text) {
        System.out.println(text);
        System.out.flush();
    }

    private void start() {
        producer = new Thread(this::produce, "producer");
        reader = new Thread(() -> follow(false), "reader");
        producer.start();
        reader.start();
    }

    private String stop() throws InterruptedException {
        producing = false;
        producer.join();
        return summary();
    }

    private String drain() throws InterruptedException {
        reading = false;
        reader.join();
        return summary();
    }

    private String readAll() {
        reading = false;
        follow(true);
        return summary();
    }

    private String summary() {
        StringBuilder text = new StringBuilder("done sent=" + sent + " acknowledged=" + acknowledged + " read=" + read);
        failures.forEach((name, count) -> text.append(" failed.").append(name).append('=').append(count));
        return text.toString();
    }

    private synchronized void failed(Throwable problem) {
        String name = String.valueOf(problem).replaceAll("[\\s=]+", "_");
        failures.computeIfAbsent(name.substring(0, Math.min(200, name.length())), any -> new AtomicLong()).incrementAndGet();
    }

    private Map<String, Object> config(String kind) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", words.get("bootstrap"));
        words.forEach((key, value) -> {
            if (key.startsWith(kind + ".")) config.put(key.substring(kind.length() + 1), value);
        });
        return config;
    }

    private static long micros() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    // -- producing ----------------------------------------------------------------------------------------------------

    private void produce() {
        Map<String, Object> config = new HashMap<>(Map.of("acks", "all", "enable.idempotence", "true", "linger.ms", "0",
                                                          "delivery.timeout.ms", DELIVERY_MS, "max.block.ms", DELIVERY_MS));
        config.putAll(config("producer"));
        long interval = Long.parseLong(words.get("interval_us")) * 1000;
        long[] sequences = new long[partitions];
        try (BufferedWriter acks = Files.newBufferedWriter(Path.of(words.get("acks")));
             KafkaProducer<byte[], byte[]> client = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            long next = System.nanoTime();
            while (producing) {
                for (int partition = 0; partition < partitions; partition++) {
                    send(client, acks, partition, sequences[partition]++);
                    sent += 1;
                }
                next = Math.max(next + interval, System.nanoTime() - 1_000_000_000L); // does not catch up a whole outage
                LockSupport.parkNanos(next - System.nanoTime());
            }
            client.flush();
        } catch (IOException | RuntimeException problem) {
            failed(problem);
        }
    }

    private void send(KafkaProducer<byte[], byte[]> client, BufferedWriter acks, int partition, long sequence) {
        byte[] value = (words.get("id") + ":" + partition + ":" + sequence + ":" + "x".repeat((int) (sequence * 7919 % 400)))
            .getBytes(StandardCharsets.US_ASCII);
        long sentAt = micros();
        client.send(new ProducerRecord<>(topic, partition, null, value), (metadata, problem) -> {
            if (problem != null) {
                failed(problem);
                return;
            }
            acknowledged.incrementAndGet();
            try {
                // the producer's own thread: one at a time
                acks.write(partition + " " + metadata.offset() + " " + words.get("id") + " " + sequence + " " + sentAt + " " + micros() + "\n");
                acks.flush();
            } catch (IOException unwritten) {
                failed(unwritten);
            }
        });
    }

    // -- reading ------------------------------------------------------------------------------------------------------

    /** Reads while it may, then on to the end that the log has at that time. */
    private void follow(boolean isQuiet) {
        // none: an offset that is gone is a finding, not a reason to begin anew
        Map<String, Object> config = new HashMap<>(Map.of("auto.offset.reset", "none", "enable.auto.commit", "false"));
        config.putAll(config("consumer"));
        List<TopicPartition> all = new ArrayList<>();
        IntStream.range(0, partitions).forEach(number -> all.add(new TopicPartition(topic, number)));
        try (BufferedWriter reads = Files.newBufferedWriter(Path.of(words.get("reads")));
             KafkaConsumer<byte[], byte[]> client = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            client.assign(all);
            for (TopicPartition partition : all) client.seek(partition, 0);
            Map<TopicPartition, Long> ends = null;
            long until = Long.MAX_VALUE;
            while (true) {
                if (!reading && ends == null) {
                    ends = client.endOffsets(all, Duration.ofSeconds(60));
                    until = System.nanoTime() + READ_NS;
                }
                if (ends != null && ends.entrySet().stream().allMatch(end -> client.position(end.getKey()) >= end.getValue())) return;
                if (System.nanoTime() > until) {
                    failed(new IllegalStateException("read up to " + positions(client, all) + " of " + ends));
                    return;
                }
                try {
                    for (ConsumerRecord<byte[], byte[]> record : client.poll(POLL)) write(reads, record);
                } catch (org.apache.kafka.common.errors.RetriableException late) {
                    if (!isQuiet) continue;
                    throw late;
                }
            }
        } catch (IOException | RuntimeException problem) {
            failed(problem);
        }
    }

    private static List<Long> positions(KafkaConsumer<byte[], byte[]> client, List<TopicPartition> all) {
        return all.stream().map(client::position).toList();
    }

    private void write(BufferedWriter reads, ConsumerRecord<byte[], byte[]> record) throws IOException {
        String[] head = new String(record.value(), StandardCharsets.US_ASCII).split(":", 4);
        boolean isWhole = head.length == 4 && Integer.parseInt(head[1]) == record.partition()
            && head[3].length() == (int) (Long.parseLong(head[2]) * 7919 % 400);
        if (!isWhole) failed(new IllegalStateException("a damaged record at " + record.partition() + " " + record.offset()));
        reads.write(record.partition() + " " + record.offset() + " " + head[0] + " " + head[2] + "\n");
        read += 1;
    }
}
