#define _GNU_SOURCE
#include "Intrusions.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef const struct intrusion_aim *aim;

/// A path in the folder.
static const char *in(aim aim, const char *name) {
  static _Thread_local char paths[2][PATH_MAX];
  static _Thread_local int turn;
  char *path = paths[turn ^= 1];
  snprintf(path, PATH_MAX, "%s/%s", aim->folder, name);
  return path;
}

/// The errno of a call that has returned `result`; a descriptor is closed.
static int of(long result) { return result < 0 ? errno : 0; }
static int closing(int descriptor) {
  if (descriptor < 0) return errno;
  close(descriptor);
  return 0;
}
static int reading(const char *path) { return closing(open(path, O_RDONLY | O_CLOEXEC)); }

// MARK: Files

static int shadow(aim aim) { return (void)aim, reading("/etc/shadow"); }
static int other_read(aim aim) { return reading(in(aim, "other")); }
static int other_write(aim aim) { return closing(open(in(aim, "other"), O_WRONLY | O_CLOEXEC)); }
static int new_file(aim aim) {
  return closing(open(in(aim, "new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}
static int other_truncate(aim aim) { return of(truncate(in(aim, "other"), 0)); }
static int other_remove(aim aim) { return of(unlink(in(aim, "spare"))); }
static int other_rename(aim aim) { return of(rename(in(aim, "other"), in(aim, "renamed"))); }
static int other_link(aim aim) { return of(link(in(aim, "renamed"), in(aim, "other"))); }
static int symbolic_link(aim aim) { return of(symlink("/etc/shadow", in(aim, "symbolic"))); }
static int new_folder(aim aim) { return of(mkdir(in(aim, "folder"), 0700)); }
static int other_mode(aim aim) { return of(chmod(in(aim, "other"), 0666)); }
static int other_owner(aim aim) { return of(chown(in(aim, "other"), geteuid(), getegid())); }
static int node(aim aim) { return of(mknod(in(aim, "node"), S_IFIFO | 0600, 0)); }
static int attribute(aim aim) {
  return of(syscall(SYS_setxattr, in(aim, "other"), "user.mark", "1", 1, 0));
}
static int list(aim aim) {
  (void)aim;
  DIR *folder = opendir("/etc");
  return folder == NULL ? errno : of(closedir(folder));
}
static int memory_by_path(aim aim) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/mem", aim->neighbour);
  return reading(path);
}
static int environment_of_neighbour(aim aim) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/environ", aim->neighbour);
  return reading(path);
}
static int own_memory(aim aim) {
  return (void)aim, closing(open("/proc/self/mem", O_WRONLY | O_CLOEXEC));
}
static int core_pattern(aim aim) {
  return (void)aim, closing(open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC));
}
static int handle(aim aim) {
  return (void)aim, of(syscall(SYS_open_by_handle_at, -1, NULL, O_RDONLY));
}
static int watch(aim aim) { return (void)aim, closing((int)syscall(SYS_inotify_init1, 0)); }

// MARK: Connections

static int joined(int socket, const void *address, socklen_t size) {
  if (socket < 0) return errno;
  const int result = connect(socket, address, size) < 0 ? errno : 0;
  close(socket);
  return result;
}
static struct sockaddr_in local(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr = {htonl(INADDR_LOOPBACK)}};
}
static struct sockaddr_un path_of(aim aim, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", aim->folder, name);
  return address;
}
static int tcp(aim aim) {
  const struct sockaddr_in address = local(aim->port);
  return joined(socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
}
static int by_protocol(aim aim, int protocol) {
  const struct sockaddr_in address = local(aim->port);
  return joined(socket(AF_INET, SOCK_STREAM, protocol), &address, sizeof address);
}
static int mptcp(aim aim) { return by_protocol(aim, 262 /* IPPROTO_MPTCP */); }
static int smc(aim aim) { return by_protocol(aim, 256 /* IPPROTO_SMC */); }
static int message(aim aim) {
  struct sockaddr_in address = local(aim->port);
  struct iovec content = {"x", 1};
  const struct msghdr message = {
      .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &content, .msg_iovlen = 1};
  const int number = socket(AF_INET, SOCK_STREAM, 0);
  if (number < 0) return errno;
  const int result = of(sendmsg(number, &message, MSG_FASTOPEN | MSG_NOSIGNAL));
  close(number);
  return result;
}
static int unix_path(aim aim) {
  const struct sockaddr_un address = path_of(aim, "socket");
  return joined(socket(AF_UNIX, SOCK_STREAM, 0), &address, sizeof address);
}
static int bind_tcp(aim aim) {
  (void)aim;
  const struct sockaddr_in address = local(0);
  const int number = socket(AF_INET, SOCK_STREAM, 0);
  if (number < 0) return errno;
  const int result = of(bind(number, (const struct sockaddr *)&address, sizeof address));
  close(number);
  return result;
}
static int netlink(aim aim) { return (void)aim, closing(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int datagrams(aim aim) {
  (void)aim;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0) return errno;
  close(ends[0]);
  return of(close(ends[1]));
}
static int send_to_another(aim aim) {
  const struct sockaddr_un address = path_of(aim, "socket");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) return errno;
  const int result =
      of(sendto(ends[0], "x", 1, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address));
  close(ends[0]);
  close(ends[1]);
  return result;
}

// MARK: Other processes

static int trace(aim aim) {
  const int result = of(ptrace(PTRACE_SEIZE, aim->neighbour, 0, 0));
  return result;
}
static int foreign_memory(aim aim) {
  return of(syscall(SYS_process_vm_readv, aim->neighbour, NULL, 0ul, NULL, 0ul, 0ul));
}
static int signal_neighbour(aim aim) { return of(kill(aim->neighbour, 0)); }
static int signal_first(aim aim) { return (void)aim, of(kill(1, 0)); }
static int signal_descriptor(aim aim) {
  const int process = (int)syscall(SYS_pidfd_open, aim->neighbour, 0);
  if (process < 0) return errno;
  const int result = of(syscall(SYS_pidfd_send_signal, process, 0, NULL, 0));
  close(process);
  return result;
}
static int foreign_descriptor(aim aim) {
  const int process = (int)syscall(SYS_pidfd_open, aim->neighbour, 0);
  if (process < 0) return errno;
  const int result = closing((int)syscall(SYS_pidfd_getfd, process, 0, 0));
  close(process);
  return result;
}
static int program(aim aim) {
  (void)aim;
  char *const arguments[] = {"true", NULL};
  pid_t child;
  const int result = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, arguments + 1);
  if (result == 0) waitpid(child, NULL, 0);
  return result;
}
static int child(aim aim) {
  (void)aim;
  const long result = syscall(SYS_fork);
  if (result == 0) syscall(SYS_exit_group, 0);
  if (result > 0) waitpid((pid_t)result, NULL, 0);
  return of(result);
}
static int child_by_clone(aim aim) {
  (void)aim;
  const long result = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (result == 0) syscall(SYS_exit_group, 0);
  if (result > 0) waitpid((pid_t)result, NULL, 0);
  return of(result);
}
static int priority(aim aim) { return (void)aim, of(setpriority(PRIO_PROCESS, 0, -1)); }

// MARK: The machine

static int mount_memory(aim aim) {
  const int result = of(mount("none", aim->folder, "tmpfs", 0, NULL));
  if (result == 0) umount(aim->folder);
  return result;
}
static int user_namespace(aim aim) { return (void)aim, of(unshare(CLONE_NEWUSER)); }
static int name_namespace(aim aim) { return (void)aim, of(unshare(CLONE_NEWUTS)); }
static int enter_namespace(aim aim) {
  (void)aim;
  const int space = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
  if (space < 0) return errno;
  const int result = of(setns(space, CLONE_NEWUTS));
  close(space);
  return result;
}
static int root(aim aim) { return (void)aim, of(chroot("/")); }
static int restart(aim aim) { return (void)aim, of(syscall(SYS_reboot, 1, 2, 3, NULL)); }
static int other_kernel(aim aim) {
  return (void)aim, of(syscall(SYS_kexec_load, 0ul, 99ul, NULL, ~0ul));
}
static int module(aim aim) { return (void)aim, of(syscall(SYS_init_module, NULL, 0ul, "")); }
static int host_name(aim aim) { return (void)aim, of(syscall(SYS_sethostname, NULL, -1)); }
static int clock_of_all(aim aim) {
  (void)aim;
  const struct timespec never = {-1, -1};
  return of(syscall(SYS_clock_settime, 0, &never));
}
static int swap(aim aim) { return (void)aim, of(syscall(SYS_swapon, "/nowhere", 0)); }
static int kernel_log(aim aim) { return (void)aim, of(syscall(SYS_syslog, 10, NULL, 0)); }

// MARK: The kernel's large interfaces

static int keys(aim aim) {
  return (void)aim, of(syscall(SYS_keyctl, 0, -2, 1));
}
static int bpf(aim aim) { return (void)aim, of(syscall(SYS_bpf, 99, NULL, 0)); }
static int performance(aim aim) {
  return (void)aim, of(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0ul));
}
static int faults(aim aim) { return (void)aim, closing((int)syscall(SYS_userfaultfd, 0)); }
static int ring(aim aim) {
  (void)aim;
  char parameters[120] = {0};
  return closing((int)syscall(SYS_io_uring_setup, 1, parameters));
}
static int own_filter(aim aim) { return (void)aim, of(syscall(SYS_seccomp, 1, 0, NULL)); }
static int shared_memory(aim aim) {
  (void)aim;
  const long id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);
  if (id >= 0) syscall(SYS_shmctl, id, IPC_RMID, NULL);
  return of(id);
}

// MARK: This process

static int user(aim aim) { return (void)aim, of(syscall(SYS_setresuid, -1, geteuid(), -1)); }
static int groups(aim aim) { return (void)aim, of(syscall(SYS_setgid, getegid())); }
static int limits(aim aim) {
  (void)aim;
  struct rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) < 0) return errno;
  return of(setrlimit(RLIMIT_CORE, &limit));
}
static int limits_of_neighbour(aim aim) {
  const struct rlimit limit = {0, 0};
  return of(prlimit(aim->neighbour, RLIMIT_CORE, &limit, NULL));
}
static int dumpable(aim aim) { return (void)aim, of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int personality_of_all(aim aim) { return (void)aim, of(syscall(SYS_personality, 0xFFFFFFFFul)); }
static int code(aim aim) {
  (void)aim;
  void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? errno : of(munmap(page, 4096));
}
static int data_as_code(aim aim) {
  (void)aim;
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return errno;
  const int result = of(mprotect(page, 4096, PROT_READ | PROT_EXEC));
  munmap(page, 4096);
  return result;
}
static int typing(aim aim) { return (void)aim, of(ioctl(0, TIOCSTI, "x")); }
static int owner_of_signals(aim aim) { return of(fcntl(0, F_SETOWN, aim->neighbour)); }

static const struct {
  const char *name;
  int refusal;
  int (*attempt)(aim);
} table[] = {
    {"read /etc/shadow", EACCES, shadow},
    {"read another image in the folder", EACCES, other_read},
    {"write another image in the folder", EACCES, other_write},
    {"make a file", EACCES, new_file},
    {"truncate another image", EPERM, other_truncate},
    {"remove another image", EACCES, other_remove},
    {"rename another image", EPERM, other_rename},
    {"link another image", EPERM, other_link},
    {"make a symbolic link", EPERM, symbolic_link},
    {"make a folder", EPERM, new_folder},
    {"change the mode of another image", EPERM, other_mode},
    {"change the owner of another image", EPERM, other_owner},
    {"make a node", EPERM, node},
    {"set an attribute", EPERM, attribute},
    {"list a folder", EACCES, list},
    {"read the memory of a neighbour by /proc", EACCES, memory_by_path},
    {"read the environment of a neighbour", EACCES, environment_of_neighbour},
    {"write the own memory by /proc", EACCES, own_memory},
    {"write core_pattern", EACCES, core_pattern},
    {"open by handle", EPERM, handle},
    {"watch files", EPERM, watch},
    {"connect by TCP", EPERM, tcp},
    {"connect by MPTCP", EPERM, mptcp},
    {"connect by SMC", EPERM, smc},
    {"connect by a message", EPERM, message},
    {"connect to a UNIX socket", EPERM, unix_path},
    {"listen on TCP", EPERM, bind_tcp},
    {"talk to the kernel's network", EPERM, netlink},
    {"make a pair of datagram sockets", EPERM, datagrams},
    {"send to another socket", EPERM, send_to_another},
    {"trace a neighbour", EPERM, trace},
    {"read the memory of a neighbour", EPERM, foreign_memory},
    {"signal a neighbour", EPERM, signal_neighbour},
    {"signal process 1", EPERM, signal_first},
    {"signal by a process descriptor", EPERM, signal_descriptor},
    {"take a descriptor of a neighbour", EPERM, foreign_descriptor},
    {"execute a program", EACCES, program},
    {"fork", EPERM, child},
    {"fork by clone", EPERM, child_by_clone},
    {"get a better priority", EPERM, priority},
    {"mount", EPERM, mount_memory},
    {"make a user namespace", EPERM, user_namespace},
    {"make a name namespace", EPERM, name_namespace},
    {"enter a namespace", EPERM, enter_namespace},
    {"change the root", EPERM, root},
    {"restart the machine", EPERM, restart},
    {"load a kernel", EPERM, other_kernel},
    {"load a module", EPERM, module},
    {"set the host's name", EPERM, host_name},
    {"set the clock", EPERM, clock_of_all},
    {"swap", EPERM, swap},
    {"read the kernel's log", EPERM, kernel_log},
    {"look for keys", EPERM, keys},
    {"load a BPF program", EPERM, bpf},
    {"count events", EPERM, performance},
    {"handle page faults", EPERM, faults},
    {"make a ring", EPERM, ring},
    {"make a filter", EPERM, own_filter},
    {"share memory", EPERM, shared_memory},
    {"set the user", EPERM, user},
    {"set the group", EPERM, groups},
    {"set a limit", EPERM, limits},
    {"set a limit of a neighbour", EPERM, limits_of_neighbour},
    {"allow core dumps", EPERM, dumpable},
    {"change the personality", EPERM, personality_of_all},
    {"map executable memory", EPERM, code},
    {"make memory executable", EPERM, data_as_code},
    {"type for the user", EPERM, typing},
    {"have signals sent to a neighbour", EPERM, owner_of_signals},
};

int intrusion_count(void) { return sizeof table / sizeof *table; }
const char *intrusion_name(int index) { return table[index].name; }
int intrusion_refusal(int index) { return table[index].refusal; }
int intrusion_try(int index, const struct intrusion_aim *aim) {
  if (index < 0 || index >= intrusion_count()) return ENOSYS;
  errno = 0;
  return table[index].attempt(aim);
}
