// What a test of a device needs, as one import: both ends, and the types of the system that appear in them (Errno,
// FilePath).
@_exported import SystemPackage
@_exported import VFIOUserClient
@_exported import VFIOUserServer
