// The public API of a device is made of what the server gives it.
@_exported import VFIOUserServer
