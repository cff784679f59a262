// One import for a program that serves a device: the server's modules, the types of the system that
// appear in them (Errno, FilePath), `@Option` and `@Flag` for the device's own options, and `Logger` for its log.
@_exported import ArgumentParser
@_exported import Logging
@_exported import SystemPackage
@_exported import VFIOUserServer
