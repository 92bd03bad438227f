# A guest application for end-to-end tests: state in memory and on disk, and probes of what the guest can reach. Perl,
# because every Debian has it: the image builds without a package index and boots fast.
use strict;
use warnings;
use IO::Handle;
use IO::Socket::INET;
use Socket qw(getaddrinfo getnameinfo NI_NUMERICHOST NIx_NOSERV SOCK_STREAM);

my ($count, %kept) = (0);
my $ballast = '';
$| = 1;

my %routes = (
    '/' => sub {
        $count++;
        return sprintf('{"count":%d,"pid":%d,"uptimeSeconds":%.3f,"epochSeconds":%d}',
            $count, $$, uptime(), time);
    },
    '/keep' => sub { my ($q) = @_; $kept{ $q->{key} } = $q->{value}; return 'kept' },
    '/kept' => sub { my ($q) = @_; return $kept{ $q->{key} } // '' },
    '/write' => sub {
        my ($q) = @_;
        open my $file, '>', "/var/tmp/$q->{key}" or die "open: $!";
        print {$file} $q->{value} x ($q->{times} // 1);
        $file->flush && $file->sync or die "sync: $!";
        close $file or die "close: $!";
        return 'written';
    },
    '/read' => sub { my ($q) = @_; return slurp("/var/tmp/$q->{key}") },
    '/dirty' => sub {
        my ($q) = @_;
        $ballast = '';
        $ballast .= pack('N', $_) x 1024 for 1 .. $q->{kib} / 4;
        return length $ballast;
    },
    '/random' => sub { open my $f, '<:raw', '/dev/urandom' or die; read $f, my $bytes, 16; return unpack 'H*', $bytes },
    '/env' => sub { return join "\n", map {"$_=$ENV{$_}"} sort keys %ENV },
    '/connect' => sub { my ($q) = @_; return try_connect($q->{host}, $q->{port}) },
    '/resolve' => sub {
        my ($q) = @_;
        my ($error, @found) = getaddrinfo($q->{name}, '', { socktype => SOCK_STREAM });
        return "failed: $error" if $error;
        my (undef, $address) = getnameinfo($found[0]{addr}, NI_NUMERICHOST, NIx_NOSERV);
        return $address;
    },
    '/facts' => sub {
        my ($memory) = slurp('/proc/meminfo') =~ /MemTotal:\s+(\d+)/;
        my $cpus = () = slurp('/proc/cpuinfo') =~ /^processor/mg;
        my ($caps) = slurp('/proc/self/status') =~ /CapBnd:\s+(\S+)/;
        return "memoryKiB=$memory cpus=$cpus uid=$< capBnd=$caps pid1=" . slurp('/proc/1/comm');
    },
    '/echo' => sub { my ($q, $body) = @_; return $body },
    '/exit' => sub { my ($q) = @_; print "leaving\n"; exit $q->{code} },
);

my $listener = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die "listen: $!";
print "listening\n";
while (my $client = $listener->accept) { serve($client) }

sub serve {
    my ($client) = @_;
    my ($method, $target) = (readline($client) // '') =~ m{^(\S+) (\S+)} or return;
    my $length = 0;
    while (defined(my $line = readline $client)) {
        last if $line =~ /^\r?\n$/;
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
    }
    read $client, my $body, $length if $length > 0;
    my ($path, $query) = split /\?/, $target, 2;
    my %q = map { my ($k, $v) = split /=/; ($k => $v // '') } split /&/, $query // '';
    my $route = $routes{$path};
    my ($status, $text) = $route ? ('200 OK', eval { $route->(\%q, $body // '') }) : ('404 Not Found', 'no such path');
    ($status, $text) = ('500 Internal Server Error', $@) if $@;
    print {$client} "HTTP/1.1 $status\r\nContent-Length: " . length($text) . "\r\nConnection: close\r\n\r\n$text";
    close $client;
}

sub try_connect {
    my ($host, $port) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp', Timeout => 3);
    return $socket ? 'connected' : "refused: $@";
}

sub uptime { my ($seconds) = split / /, slurp('/proc/uptime'); return $seconds }

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/ = undef;
    return readline $file;
}
