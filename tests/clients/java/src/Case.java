import java.util.Objects;
import java.util.function.BooleanSupplier;

/** How the Java programs report: one line per case, read by tests/harness/suite.py. */
final class Case {
    interface Body {
        void run() throws Throwable;
    }

    private static int failed;

    static void run(String name, Body body) {
        long began = System.nanoTime();
        try {
            body.run();
            System.out.printf("ok %s (%.1f s)%n", name, (System.nanoTime() - began) / 1e9);
        } catch (Throwable problem) {
            failed += 1;
            int line = 0;
            for (StackTraceElement element : problem.getStackTrace()) {
                if ("Case.java".equals(element.getFileName()) || element.getModuleName() != null) continue;
                line = element.getLineNumber();
                break;
            }
            System.out.printf("not ok %s -- %s (line %d)%n", name, String.valueOf(problem).replaceAll("\\s+", " "), line);
        }
        System.out.flush();
    }

    static void finish() {
        System.exit(failed == 0 ? 0 : 1);
    }

    static void check(boolean condition, String what) {
        if (!condition) throw new AssertionError(what);
    }

    static void equal(Object found, Object expected, String what) {
        if (!Objects.equals(found, expected)) {
            String wanted = String.valueOf(expected), got = String.valueOf(found);
            throw new AssertionError(what + ": expected " + shorten(wanted) + ", found " + shorten(got));
        }
    }

    private static String shorten(String text) {
        return text.length() > 300 ? text.substring(0, 300) + "..." : text;
    }

    static void waitUntil(BooleanSupplier condition, String what) throws InterruptedException {
        long end = System.nanoTime() + 150_000_000_000L;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) throw new AssertionError("waited 150 s for " + what);
            Thread.sleep(20);
        }
    }
}
