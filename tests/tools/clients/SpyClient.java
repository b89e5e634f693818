// spymemcached in binary over TCP: what every client of this folder does. Usage: java SpyClient.java HOST:PORT [USER PASSWORD]
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.spy.memcached.AddrUtil;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.FailureMode;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;
import net.spy.memcached.internal.OperationFuture;

public class SpyClient {
  static void must(boolean right, String what) {
    if (!right) throw new IllegalStateException(what);
  }

  public static void main(String[] words) throws Exception {
    System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
    java.util.logging.Logger.getLogger("net.spy.memcached").setLevel(java.util.logging.Level.WARNING);
    ConnectionFactoryBuilder factory = new ConnectionFactoryBuilder()
        .setProtocol(ConnectionFactoryBuilder.Protocol.BINARY).setFailureMode(FailureMode.Cancel).setOpTimeout(10_000);
    if (words.length == 3)
      factory.setAuthDescriptor(new AuthDescriptor(new String[] {"PLAIN"}, new PlainCallbackHandler(words[1], words[2])));
    MemcachedClient client = new MemcachedClient(factory.build(), AddrUtil.getAddresses(words[0]));
    must(client.set("spy", 0, "first").get() && "first".equals(client.get("spy")), "set");
    must(!client.add("spy", 0, "second").get(), "add");
    must(client.replace("spy", 0, "third").get() && "third".equals(client.get("spy")), "replace");
    CASValue<Object> seen = client.gets("spy");
    must(client.cas("spy", seen.getCas(), "fourth") == CASResponse.OK, "cas");
    must(client.cas("spy", seen.getCas(), "fifth") == CASResponse.EXISTS, "cas of an old value");
    must(client.append("spy", "!").get() && client.prepend("spy", "?").get() && "?fourth!".equals(client.get("spy")), "append");
    must(client.touch("spy", 100).get() && "?fourth!".equals(client.getAndTouch("spy", 100).getValue()), "touch");
    must(client.incr("spy-count", 1, 7) == 7 && client.incr("spy-count", 5) == 12 && client.decr("spy-count", 2) == 10, "counter");
    List<OperationFuture<Boolean>> stored = new ArrayList<>();
    List<String> keys = new ArrayList<>();
    for (int i = 0; i < 500; ++i) {
      keys.add("spy" + i);
      stored.add(client.set("spy" + i, 0, "value " + i));
    }
    for (OperationFuture<Boolean> one : stored) must(one.get(), "500 sets");
    Map<String, Object> all = client.getBulk(keys);
    must(all.size() == 500, "500 keys at once: " + all.size());
    for (int i = 0; i < 500; ++i) must(("value " + i).equals(all.get("spy" + i)), "spy" + i);
    byte[] large = new byte[300_000];
    new Random(1).nextBytes(large);
    must(client.set("spy-large", 0, large).get() && Arrays.equals(large, (byte[]) client.get("spy-large")), "300 kB");
    must(client.delete("spy").get() && client.get("spy") == null, "delete");
    must(client.getStats().size() == 1 && client.getVersions().size() == 1, "stats");
    client.shutdown();
    System.exit(0);
  }
}
