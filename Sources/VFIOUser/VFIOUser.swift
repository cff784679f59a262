// All that a device or a client needs, as one import: the modules of both ends, the messages that they
// exchange, and the types of the system that appear in them (Errno, FilePath).
@_exported import SystemPackage
@_exported import VFIOUserClient
@_exported import VFIOUserProtocol
@_exported import VFIOUserServer
@_exported import VFIOUserTransport
