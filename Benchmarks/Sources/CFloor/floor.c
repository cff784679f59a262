#define _GNU_SOURCE
#include "CFloor.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct header {
  uint16_t id, command;
  uint32_t size, flags, error;
};
struct access {
  struct header header;
  uint64_t offset;
  uint32_t region, count;
};
enum { largest = 2 << 20 };

uint64_t floor_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct floor_shared *floor_share(void) {
  void *memory = mmap(NULL, sizeof(struct floor_shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

uint64_t floor_sample(const struct floor_shared *shared, uint64_t index) {
  return shared->samples[index];
}

uint64_t floor_done(const struct floor_shared *shared) {
  return __atomic_load_n(&shared->done, __ATOMIC_ACQUIRE);
}

int floor_pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  const struct sched_param parameters = {.sched_priority = 10};
  const int pinned = sched_setaffinity(0, sizeof set, &set);
  const int fifo = sched_setscheduler(0, SCHED_FIFO, &parameters);
  return pinned == 0 && fifo == 0 ? 0 : -1;
}

int floor_connect(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

int floor_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  _exit(1);
}

static void read_all(int fd, void *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t got = recv(fd, (char *)bytes + done, size - done, 0);
    if (got <= 0) _exit(0);
    done += (size_t)got;
  }
}

static void write_all(int fd, const void *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t sent = send(fd, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
    must(sent > 0, "send");
    done += (size_t)sent;
  }
}

static int child(int close_fd, int cpu) {
  const int pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close(close_fd);
  if (cpu >= 0) floor_pin(cpu);
  return 0;
}

int floor_start_echo(int fd, int close_fd, int cpu, int request, int reply) {
  const int pid = child(close_fd, cpu);
  if (pid != 0) return pid;
  static char bytes[largest];
  for (;;) {
    read_all(fd, bytes, (size_t)request);
    write_all(fd, bytes, (size_t)reply);
  }
}

int floor_start_self(int fd, int close_fd, int cpu) {
  const int pid = child(close_fd, cpu);
  if (pid != 0) return pid;
  char number[12];
  const int inherited = dup(fd);
  snprintf(number, sizeof number, "%d", inherited);
  execl("/proc/self/exe", "Benchmarks", "serve", number, NULL);
  _exit(127);
}

void floor_stop(int pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

int floor_ping(int fd, int request, int reply, int rounds, uint64_t *samples) {
  static char bytes[largest];
  for (int round = 0; round < rounds; round++) {
    const uint64_t start = floor_now();
    write_all(fd, bytes, (size_t)request);
    read_all(fd, bytes, (size_t)reply);
    samples[round] = floor_now() - start;
  }
  return 0;
}

static const char version[] =
    "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}";

struct incoming {
  char bytes[largest];
  size_t start, end;
  /// The descriptor that came last, -1 for none.
  int descriptor;
  /// Whether descriptors are left to the kernel to close, which is cheaper.
  int is_plain;
};

static ssize_t receive(int fd, struct incoming *in) {
  struct iovec piece = {in->bytes + in->end, largest - in->end};
  if (in->is_plain) return recv(fd, piece.iov_base, piece.iov_len, 0);
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * 16)];
  } control;
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  const ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) return got;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_type == SCM_RIGHTS) in->descriptor = ((int *)CMSG_DATA(c))[0];
  return got;
}

/// The next whole message; one recv brings many.
static struct header *next_message(int fd, struct incoming *in) {
  for (;;) {
    struct header *header = (struct header *)(in->bytes + in->start);
    const size_t have = in->end - in->start;
    if (have >= sizeof *header && have >= header->size) {
      in->start += header->size;
      return header;
    }
    if (in->start == in->end) in->start = in->end = 0;
    if (in->start > 0 && in->end > largest / 2) {
      memmove(in->bytes, in->bytes + in->start, have);
      in->start = 0;
      in->end = have;
    }
    const ssize_t got = receive(fd, in);
    if (got <= 0) _exit(0);
    in->end += (size_t)got;
  }
}

static int has_more(const struct incoming *in) {
  const struct header *header = (const struct header *)(in->bytes + in->start);
  const size_t have = in->end - in->start;
  return have >= sizeof *header && have >= header->size;
}

static void *mapped;

static void map_window(const struct header *header, struct incoming *in) {
  if (in->descriptor < 0) return;
  const uint64_t *fields = (const uint64_t *)(header + 1);
  mapped = mmap(NULL, fields[3], PROT_READ | PROT_WRITE, MAP_SHARED, in->descriptor,
                (off_t)fields[1]);
  close(in->descriptor);
  in->descriptor = -1;
}

static void unmap_window(const struct header *header) {
  if (mapped != NULL) munmap(mapped, ((const uint64_t *)(header + 1))[2]);
  mapped = NULL;
}

static size_t answer(struct header *header, char *out, struct incoming *in) {
  struct access *request = (struct access *)header, *reply = (struct access *)out;
  reply->header = (struct header){header->id, header->command, sizeof *header, 1, 0};
  switch (header->command) {
  case 1:
    memcpy(out + sizeof *header, version, sizeof version);
    reply->header.size += sizeof version;
    break;
  case 2: map_window(header, in); break;
  case 3:
    unmap_window(header);
    memcpy(out + sizeof *header, header + 1, 24);
    reply->header.size += 24;
    break;
  case 9:
    memcpy(out + sizeof *header, header + 1, 16);
    reply->header.size = (uint32_t)(sizeof *request + request->count);
    break;
  case 10:
    memcpy(out + sizeof *header, header + 1, 16);
    reply->header.size = sizeof *request;
    break;
  }
  return reply->header.size;
}

static void ask_for_memory(int fd, struct incoming *in, struct floor_shared *shared, uint64_t wait) {
  const struct timespec pause = {0, (long)wait};
  nanosleep(&pause, NULL);
  struct {
    struct header header;
    uint64_t address, count;
  } request = {{7, 11, 32, 0, 0}, 0, 64};
  const uint64_t start = floor_now();
  write_all(fd, &request, sizeof request);
  next_message(fd, in);
  if (shared->count < 100000) shared->samples[shared->count++] = floor_now() - start;
  __atomic_add_fetch(&shared->done, 1, __ATOMIC_RELEASE);
}

int floor_start_server(int fd, int close_fd, int cpu, struct floor_shared *shared, uint64_t wait) {
  const int pid = child(close_fd, cpu);
  if (pid != 0) return pid;
  static struct incoming in = {.descriptor = -1};
  // With somewhere to put samples it serves a client that is measured, and maps nothing.
  in.is_plain = shared != NULL;
  static char out[largest + 65536];
  size_t filled = 0;
  for (;;) {
    struct header *header = next_message(fd, &in);
    const struct access *request = (const struct access *)header;
    const int asks = header->command == 10 && request->offset == 0x1000;
    if (!(header->flags & 0x10)) filled += answer(header, out + filled, &in);
    if (filled > 0 && (asks || filled > 32768 || !has_more(&in))) {
      write_all(fd, out, filled);
      filled = 0;
    }
    if (asks) ask_for_memory(fd, &in, shared, wait);
  }
}

// MARK: The client

static struct incoming replies;

int floor_negotiate(int fd) {
  char message[16 + sizeof version];
  struct header header = {0, 1, sizeof message, 0, 0};
  memcpy(message, &header, 16);
  memcpy(message + 16, version, sizeof version);
  write_all(fd, message, sizeof message);
  replies.start = replies.end = 0;
  return (next_message(fd, &replies)->flags & 0x20) ? -1 : 0;
}

uint64_t floor_reads(int fd, int region, int size, int depth, int rounds) {
  struct access batch[64];
  for (int i = 0; i < depth; i++)
    batch[i] = (struct access){{(uint16_t)i, 9, sizeof *batch, 0, 0}, 0, (uint32_t)region,
                               (uint32_t)size};
  const uint64_t start = floor_now();
  for (int done = 0; done < rounds; done += depth) {
    write_all(fd, batch, sizeof *batch * (size_t)depth);
    for (int i = 0; i < depth; i++)
      must(!(next_message(fd, &replies)->flags & 0x20), "a read was refused");
  }
  return floor_now() - start;
}

static uint64_t write_messages(int fd, int region, int size, int rounds, uint32_t flags) {
  char *message = calloc(1, sizeof(struct access) + (size_t)size);
  struct access *access = (struct access *)message;
  *access = (struct access){{0, 10, (uint32_t)(sizeof *access + (size_t)size), flags, 0}, 0,
                            (uint32_t)region, (uint32_t)size};
  const uint64_t start = floor_now();
  for (int done = 0; done < rounds; done++) {
    write_all(fd, message, access->header.size);
    if (!flags) must(!(next_message(fd, &replies)->flags & 0x20), "a write was refused");
  }
  if (flags) floor_reads(fd, region, 4, 1, 1);
  const uint64_t time = floor_now() - start;
  free(message);
  return time;
}

uint64_t floor_posted_writes(int fd, int region, int size, int rounds) {
  return write_messages(fd, region, size, rounds, 0x10);
}

uint64_t floor_writes(int fd, int region, int size, int rounds) {
  return write_messages(fd, region, size, rounds, 0);
}

struct map {
  struct header header;
  uint32_t argsz, flags;
  uint64_t offset, address, size;
};
struct unmap {
  struct header header;
  uint32_t argsz, flags;
  uint64_t address, size;
};

static void send_map(int fd, const struct map *map, int memory) {
  struct iovec piece = {(void *)map, sizeof *map};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &memory, sizeof memory);
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (memory >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  must(sendmsg(fd, &message, MSG_NOSIGNAL) == sizeof *map, "sendmsg");
}

uint64_t floor_maps(int fd, int memory, uint64_t address, int rounds) {
  const struct map map = {{1, 2, sizeof map, 0, 0}, 32, 3, 0, address, 65536};
  const struct unmap unmap = {{2, 3, sizeof unmap, 0, 0}, 24, 0, address, 65536};
  const uint64_t start = floor_now();
  for (int round = 0; round < rounds; round++) {
    send_map(fd, &map, memory);
    must(!(next_message(fd, &replies)->flags & 0x20), "a map was refused");
    write_all(fd, &unmap, sizeof unmap);
    must(!(next_message(fd, &replies)->flags & 0x20), "an unmap was refused");
  }
  return floor_now() - start;
}

int floor_fill_windows(int fd, uint64_t first, int count) {
  for (int i = 0; i < count; i++) {
    const struct map map = {
        {1, 2, sizeof map, 0, 0}, 32, 3, 0, first + (uint64_t)i * 131072, 65536};
    send_map(fd, &map, -1);
    if (next_message(fd, &replies)->flags & 0x20) return -1;
  }
  return 0;
}

int floor_memory(uint64_t size) {
  const int memory = memfd_create("bench", MFD_CLOEXEC);
  return memory >= 0 && ftruncate(memory, (off_t)size) == 0 ? memory : -1;
}
