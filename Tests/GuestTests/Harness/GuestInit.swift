/// The guest's first and only program, a script for busybox.
///
/// It runs what comes over the console, up to a line `@@run N`, and frames the output with lines of its
/// own. It gives up when nothing comes for a while: a guest whose test was killed must not run for
/// ever.
enum GuestInit {
  /// - Parameter prelude: commands that run first, functions for the test's scripts for example; what it
  ///   leaves in `$greeting` becomes ``Guest/greeting``.
  static func script(prelude: String) -> String {
    """
    #!/bin/busybox sh
    /bin/busybox mkdir -p /dev /proc /sys /tmp /run /mnt
    /bin/busybox --install -s /bin 2> /dev/null
    export PATH=/bin
    mount -t devtmpfs dev /dev
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    exec < /dev/console > /dev/console 2>&1
    stty -echo -onlcr
    greeting=

    \(prelude)

    echo
    echo "@@ready $greeting"
    \(loop)
    poweroff -f
    """
  }

  private static let loop = #"""
    while IFS= read -r -t 300 line; do
      case $line in
      "@@run "*)
        echo
        echo "@@begin ${line#@@run }"
        . /tmp/script
        status=$?
        echo
        echo "@@end ${line#@@run } $status"
        : > /tmp/script
        ;;
      *) printf '%s\n' "$line" >> /tmp/script ;;
      esac
    done
    """#
}
