// Writes the *.batch files beside this source with Apache Kafka's own code (kafka-clients 4.3.1 and the codec
// libraries it depends on). To make them anew: java -cp "<directory of those jars>/*" GoldenBatches.java <directory>
// Goldens are added, not edited; golden_batches.rs reads them.

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class GoldenBatches {
    static final long TIME = 1_700_000_000_000L;
    static Path directory;

    static void write(String name, MemoryRecords records) throws IOException {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(directory.resolve(name + ".batch"), bytes);
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    // Record i: key "key-i" or null every third, value null every fifth, else "value-i " repeated i times; timestamp
    // TIME + 10 * i, but record 2 is the latest; i % 4 headers, the last of them with a null value.
    static void fill(MemoryRecordsBuilder builder, int count, int repeat) {
        for (int i = 0; i < count; i++) {
            byte[] key = i % 3 == 0 ? null : utf8("key-" + i);
            byte[] value = i % 5 == 4 ? null : utf8(("value-" + i + " ").repeat(i * repeat));
            Header[] headers = new Header[i % 4];
            for (int h = 0; h < headers.length; h++)
                headers[h] = new RecordHeader("header-" + h, h == headers.length - 1 ? null : utf8("x" + h));
            long timestamp = i == 2 ? TIME + 100_000 : TIME + 10L * i;
            builder.append(timestamp, key, value, headers);
        }
    }

    static MemoryRecordsBuilder builder(Compression compression, long producer, boolean transactional) {
        return new MemoryRecordsBuilder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2, compression,
            TimestampType.CREATE_TIME, 0L, RecordBatch.NO_TIMESTAMP, producer, producer < 0 ? -1 : (short) 3,
            producer < 0 ? -1 : 40, transactional, false, RecordBatch.NO_PARTITION_LEADER_EPOCH, 1 << 20);
    }

    public static void main(String[] args) throws IOException {
        directory = Path.of(args[0]);
        for (CompressionType type : CompressionType.values()) {
            Compression compression = Compression.of(type).build();
            MemoryRecordsBuilder small = builder(compression, -1, false);
            fill(small, 8, 1);
            write(type.name, small.build());
            if (type == CompressionType.NONE)
                continue;
            MemoryRecordsBuilder large = builder(compression, -1, false); // many blocks of lz4 and snappy
            fill(large, 40, 40);
            write(type.name + "-large", large.build());
        }
        MemoryRecordsBuilder idempotent = builder(Compression.NONE, 4711, false);
        fill(idempotent, 3, 1);
        write("idempotent", idempotent.build());
        MemoryRecordsBuilder transactional = builder(Compression.NONE, 4711, true);
        fill(transactional, 3, 1);
        write("transactional", transactional.build());
        write("commit", MemoryRecords.withEndTransactionMarker(17L, TIME, 5, 4711, (short) 3,
            new EndTransactionMarker(ControlRecordType.COMMIT, 9)));
        MemoryRecords appendTime = MemoryRecords.withRecords(RecordBatch.MAGIC_VALUE_V2, 90L, Compression.NONE,
            TimestampType.CREATE_TIME, new SimpleRecord(TIME, utf8("k"), utf8("v")));
        MutableRecordBatch batch = appendTime.batches().iterator().next();
        batch.setMaxTimestamp(TimestampType.LOG_APPEND_TIME, TIME + 5);
        batch.setPartitionLeaderEpoch(6);
        write("log-append-time", appendTime);
        ByteBuffer empty = ByteBuffer.allocate(100);
        DefaultRecordBatch.writeEmptyHeader(empty, (byte) 2, 4711, (short) 3, 40, 100L, 104L, 6,
            TimestampType.CREATE_TIME, TIME, false, false);
        empty.flip();
        write("emptied", MemoryRecords.readableRecords(empty));
    }
}
