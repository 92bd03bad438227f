// Where the untrusted half of a build runs: namespaces of its own, as a user that owns nothing else on the host.
//
//   setpriv       the build ends when the service's process does
//   nsenter       (optional) the network namespace whose egress rules the build is under
//   unshare       mount, PID, IPC and UTS namespaces, still as root: PREPARE, as PID 1, enters the build's control groups and
//                 binds what the build may see under TOP; when it ends, for whatever reason, the kernel kills every other process and drops every mount
//   nsenter       into a user namespace whose ids 0-65535 are ids of the host that nobody uses
//   unshare       a mount namespace that belongs to it, so that buildah may mount overlays
//   sh -c SCRIPT
//
// Root in the build is therefore an ordinary user outside it: what breaks out of buildah's chroot can read
// world-readable files of the host and change what is bound, and no more.

import { mkdir } from "node:fs/promises";
import { runCommand } from "../lib/command.ts";
import type { ErrorCode } from "../errors.ts";

/** First of the 65536 host ids that builds use; above every slot's user (config: `vmmUidBase`). */
export const BUILD_UID_BASE = 1_880_096_768;
const BUILD_UID_COUNT = 65_536;

/** Everything bound for a build is below this directory, inside the namespaces only. */
export const SANDBOX_TOP = "/run/torpor-build";

export interface SandboxOptions {
  /** Host files and directories by the name they get under SANDBOX_TOP. */
  readonly binds: Readonly<Record<string, string>>;
  /** Host directory that the script gets as a tar archive on its standard input, whoever may read it. */
  readonly inputPath?: string;
  /** Environment of the script besides PATH, HOME and TMPDIR. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Control groups that every process of the sandbox is in, see cgroup.ts. */
  readonly cgroups?: readonly string[];
  /** Name under `/run/netns`; the host's own network unless given. */
  readonly networkNamespace?: string;
  readonly onOutput?: (chunk: string) => void;
  readonly errorCode?: ErrorCode;
}

/**
 * Runs a shell script as root of the namespaces described above, with `args` as its positional parameters, and resolves
 * with its output. SANDBOX_TOP/run is a directory in memory that it may use. Rejects as `runCommand` does.
 */
export async function runInSandbox(
  script: string,
  args: readonly string[],
  options: SandboxOptions,
  signal: AbortSignal,
): Promise<string> {
  await mkdir(SANDBOX_TOP, { recursive: true, mode: 0o755 });
  const { networkNamespace } = options;
  const enterNetwork =
    networkNamespace === undefined ? [] : ["nsenter", `--net=/run/netns/${networkNamespace}`];
  const binds = Object.entries(options.binds).flat();
  const unshare = "unshare --mount --pid --fork --kill-child --ipc --uts --mount-proc".split(" ");
  return runCommand(
    "setpriv",
    [
      ...["--pdeathsig", "KILL", "--", ...enterNetwork, ...unshare, "--propagation", "private"],
      ...["--", "sh", "-c", PREPARE, "prepare", String(BUILD_UID_BASE), String(BUILD_UID_COUNT)],
      ...[SANDBOX_TOP, options.inputPath ?? "", networkNamespace === undefined ? "" : "gateway"],
      ...[...(options.cgroups ?? []), "--", ...binds, "--", "sh", "-c", script, "build", ...args],
    ],
    {
      cwd: "/",
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: `${SANDBOX_TOP}/run`,
        XDG_RUNTIME_DIR: `${SANDBOX_TOP}/run`,
        TMPDIR: `${SANDBOX_TOP}/run`,
        LC_ALL: "C.UTF-8",
        ...options.environment,
      },
      ...(options.onOutput === undefined ? {} : { onOutput: options.onOutput }),
      ...(options.errorCode === undefined ? {} : { errorCode: options.errorCode }),
    },
    signal,
  );
}

// The first `sh` of a new user namespace has no mapping and therefore no rights; it only holds the namespace open while
// its parent, still root of the host, writes the mapping and enters. Tmpfs comes after the binds, whose sources it could hide.
const PREPARE = `
set -eu
base=$1 count=$2 top=$3 input=$4 nameserver=$5
shift 5
# First of all, so that everything is counted. A build that cannot be bounded is done all the same.
while [ "$1" != -- ]; do
  echo 0 > "$1/cgroup.procs" || echo "build is without the bounds of $1" >&2
  shift
done
shift
mount -t tmpfs -o mode=0755 torpor-build "$top"
mkdir "$top/run"
chown "$base:$base" "$top/run"
while [ "$1" != -- ]; do
  if [ -d "$2" ]; then mkdir "$top/$1"; else : > "$top/$1"; fi
  mount --bind "$2" "$top/$1"
  shift 2
done
shift
# Without a file of that name the resolver is the host's own, which another network cannot reach.
if [ -n "$nameserver" ]; then
  ip -4 route show default | sed -n 's/^default via \\([^ ]*\\).*/nameserver \\1/p' > "$top/resolv.conf"
  mount --bind "$top/resolv.conf" /etc/resolv.conf
fi
# buildah writes to a cache below /var/cache; the host's shared memory is not the build's.
mount -t tmpfs -o "mode=0755,uid=$base,gid=$base" torpor-build /var/cache
mount -t tmpfs -o mode=1777 torpor-build /dev/shm
# A build gives way to running microVMs, and goes first when memory runs out.
renice -n 10 -p $$ > /dev/null
echo 500 > /proc/self/oom_score_adj
mkfifo -m 0600 "$top/ready" "$top/never"
exec 8<> "$top/ready" 9<> "$top/never"
unshare --user -- sh -c 'echo ready >&8; read -r _ <&9' < /dev/null > /dev/null &
holder=$!
read -r _ <&8
echo "0 $base $count" > "/proc/$holder/uid_map"
echo "0 $base $count" > "/proc/$holder/gid_map"
exec 8>&- 9>&- < /dev/null
if [ -n "$input" ]; then
  mkfifo -m 0600 "$top/input"
  tar --create --directory "$input" --file "$top/input" . &
  exec < "$top/input"
fi
# Not exec: a change of user would take from this process the signal that the end of its parent sends it.
status=0
nsenter --user="/proc/$holder/ns/user" -- unshare --mount --propagation private -- "$@" || status=$?
exit "$status"
`;
