"""The same as `filter_rules`: rarer fields, other spellings, matches that imply others. One rule a line."""

SPELLINGS = r"""
th dport 80 counter
@nh,64,8 5 counter
@th,16,16 80 counter
ip6 nexthdr 6 tcp dport 80 accept
exthdr frag exists drop
ct id 5 counter
ct l3proto ipv4 counter
ct protocol tcp counter
ct event set new
tcp option sack-permitted exists counter
sctp dport 5 counter
dccp dport 5 counter
udplite dport 5 counter
esp spi 5 counter
ah spi 5 counter
comp cpi 5 counter
igmp type membership-query counter
udp dport 53 @th,64,8 1 counter
meta l4proto tcp counter tcp dport 80
meta nfproto ipv4 counter ip saddr 1.2.3.4
meta l4proto tcp meta mark 1 tcp dport 80
meta nfproto ipv4 meta l4proto tcp tcp dport 80
meta nfproto ipv4 tcp dport 80 ip saddr 1.2.3.4
ct state == established
ct state ! established
ct state != { new, established }
ct state & (new|established) == new
tcp flags ! syn
tcp flags & (syn|ack) != syn
tcp flags & (syn|ack) == 0
tcp flags & syn == syn
tcp dport != 80-90
ip saddr != 10.0.0.0/8
ip saddr != 10.16.0.0/12
ip saddr & 255.0.255.0 == 10.0.1.0
ip saddr > 10.0.0.1
tcp dport 80 tcp sport 5 ip daddr 1.2.3.4
ip daddr 1.2.3.4 ip saddr 1.2.3.4
ip saddr 1.2.3.4 ip protocol tcp
ip saddr 1.2.3.4 ip ttl 4
ip ttl 4 ip protocol 6 ip saddr 1.2.3.4
meta nfproto ipv4 reject
meta l4proto tcp reject with tcp reset
tcp dport 80 reject
udp dport 80 reject with icmpx type port-unreachable
ip6 saddr ::1 reject with icmpx type port-unreachable
limit rate 10/second burst 7 packets
limit rate 1025 bytes/second
limit rate 10/day
limit rate 10/week
log level emerg
log group 0
log group 5
log prefix "a" flags all level debug
meta mark & 0x1 != 0
meta mark and 0x3 == 0x0
meta mark { 1, 2 }
meta mark 1-5
ct mark & 0xff == 0x1
oifname . iifname { "a" . "b" }
iifname . tcp dport { "a" . 80 }
iifname "a" tcp dport 80
ip saddr . ip daddr . tcp dport { 1.2.3.4 . 1.2.3.5 . 80 }
ip saddr . tcp dport { 1.2.3.0/24 . 80-90 }
meta l4proto . th dport { tcp . 80, udp . 53 }
meta l4proto 99
meta l4proto != tcp
ip protocol != tcp
tcp dport { 0-1023 }
tcp dport 0-1023
ip saddr 10.0.0.0-10.0.0.255
tcp dport 0x50
meta iifgroup 5
ct status snat,dnat
counter packets 5 bytes 10
meta length 64-128
tcp option timestamp exists
ip saddr { 1.2.3.4 } counter accept
ip saddr vmap { 1.2.3.4 : jump z, 1.2.3.5 comment "elem" : goto z }
"""
