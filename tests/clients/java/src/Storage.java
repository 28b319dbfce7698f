import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;

/**
 * What Java's Admin does with topics and log directories, one command a run. usage: Storage HOST:PORT COMMAND ...
 *
 * create TOPIC COUNT, delete TOPIC, describe, move TOPIC PARTITION DIR
 */
public final class Storage {
    public static void main(String[] arguments) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
            switch (arguments[1]) {
                case "create" -> {
                    NewTopic topic = new NewTopic(arguments[2], Integer.parseInt(arguments[3]), (short) 1);
                    admin.createTopics(List.of(topic)).all().get();
                }
                case "delete" -> admin.deleteTopics(List.of(arguments[2])).all().get();
                case "describe" -> describe(admin);
                case "move" -> {
                    int partition = Integer.parseInt(arguments[3]);
                    TopicPartitionReplica replica = new TopicPartitionReplica(arguments[2], partition, 1);
                    admin.alterReplicaLogDirs(Map.of(replica, arguments[4])).all().get();
                }
                default -> throw new IllegalArgumentException(arguments[1]);
            }
            System.out.println("done");
        } catch (ExecutionException problem) {
            System.out.println("refused " + problem.getCause().getClass().getSimpleName());
        }
    }

    private static void describe(Admin admin) throws Exception {
        Map<String, LogDirDescription> dirs = admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
        for (Map.Entry<String, LogDirDescription> dir : dirs.entrySet()) {
            LogDirDescription description = dir.getValue();
            String error = description.error() == null ? "none" : description.error().getClass().getSimpleName();
            System.out.printf("dir %s %s %d %d%n", dir.getKey(), error,
                              description.totalBytes().orElse(-1), description.usableBytes().orElse(-1));
            for (Map.Entry<TopicPartition, ReplicaInfo> replica : description.replicaInfos().entrySet()) {
                TopicPartition partition = replica.getKey();
                ReplicaInfo info = replica.getValue();
                System.out.printf("replica %s %s %d %d %d %b%n", dir.getKey(), partition.topic(), partition.partition(),
                                  info.size(), info.offsetLag(), info.isFuture());
            }
        }
    }
}
