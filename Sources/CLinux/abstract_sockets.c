#define _GNU_SOURCE
#include "CLinuxUpgrade.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int abstract_address(const char *name, struct sockaddr_un *address, socklen_t *size) {
  const size_t length = strlen(name);
  if (length + 1 > sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path + 1, name, length);
  *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
  return 0;
}

static int abstract_socket(const char *name, int backlog) {
  struct sockaddr_un address;
  socklen_t size;
  const int refused = abstract_address(name, &address, &size);
  if (refused < 0) return refused;
  // A connection that has to wait for its turn is refused with EAGAIN.
  const int type = SOCK_STREAM | SOCK_CLOEXEC | (backlog > 0 ? 0 : SOCK_NONBLOCK);
  const int number = socket(AF_UNIX, type, 0);
  if (number < 0) return -errno;
  const int result = backlog > 0 ? bind(number, (struct sockaddr *)&address, size)
                                 : connect(number, (struct sockaddr *)&address, size);
  if (result < 0 || (backlog > 0 && listen(number, backlog) < 0)) {
    const int code = errno;
    close(number);
    return -code;
  }
  return number;
}

int clinux_listen_abstract(const char *name, int backlog) { return abstract_socket(name, backlog); }

int clinux_connect_abstract(const char *name) { return abstract_socket(name, 0); }

int clinux_peer_of(int socket, struct clinux_peer *peer) {
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -errno;
  *peer = (struct clinux_peer){credentials.pid, credentials.uid};
  return 0;
}
