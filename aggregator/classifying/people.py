r"""Our own lists: programs, devices and systems of people.

Rules of this file: those of `lists.py`, whose LIST_VERSION covers this one too.
"""

from aggregator.classifying.lists import Entries, entries

# Programs whose user agent names them before it names a browser, if it does at all.
# Some say where their makers live, which else is what bots do.
APPS: Entries = entries(
    r"""
Apple Podcasts = Apple ?Podcasts|^Podcasts/|^AirPodcasts/|com\.apple\.podcasts|^Balados/
Overcast = ^Overcast|\bOvercast/
Pocket Casts = Pocket ?Casts|^Shifty ?Jelly|au\.com\.shiftyjelly
AntennaPod = AntennaPod|de\.danoeh\.antennapod
Castro = ^Castro\b|CastroClip
Castbox = (?i)castbox
Podcast Addict = Podcast ?Addict|PodcastAddict
Podcast Republic = PodcastRepublic|Podcast Republic
Podcast Guru = Podcast ?Guru
Player FM = (?i)player ?fm
Podbean = (?i)podbean
Podkicker = (?i)podkicker
BeyondPod = BeyondPod
Downcast = (?i)downcast
iCatcher = (?i)icatcher
Castamatic = (?i)castamatic
RSSRadio = (?i)rssradio
Snipd = (?i)\bsnipd
Goodpods = (?i)goodpods
Podverse = (?i)podverse
Fountain = ^Fountain|fountain\.fm
TrueFans = (?i)truefans
PodLP = (?i)podlp
Podimo = (?i)podimo
Anytime = (?i)anytime ?podcast
Podcast app = CurioCaster|CastGarden|PodStation|Podfriend|Podurama|Podcini|Podnods|Kasts/
Podcast app = Podyssey|Metacast|Podopolo|Breez/|Podplay|Podeo|Podme|PodMe|HardCast|HyperCatcher
Podcast app = Repod|Luminary|Himalaya|DoggCatcher|Instacast|Breaker/|RadioPublic|Laughable|Swoot
Podcast app = Steno\.fm|Wavlake|LINE PODCAST|Xiaoyuzhou|moonfm|Moon FM|Bullhorn|AudioWave
Podcast app = Castria|CoolerFM|[Tt]urtlecast|TURTLECAST|Upcast/|ThePodcastApp|^TPA/|CampfireFM
Podcast app = CarCurious|PodQast|Podcast Overhaul|Overhaul FM|^Juice/|^Miro/|^Podcatcher[ ]
gPodder = (?i)gpodder
Google Podcasts = Google-?Podcasts|GooglePodcasts|GSA/.*Podcast
Google Podcasts = com\.google\.android\.apps\.podcasts
Spotify = (?i)^spotify|;tpapi;|\bSpotify/|sp-agent|^MusicPlayer/Spotify
Amazon Music = (?i)amazon ?music|^Harley/|^AmazonMusic
Alexa = AlexaMediaPlayer|^Alexa|^Echo/|AmazonNewsContentService|AmazonAVS|AvsDeviceSdk
Alexa = Amazon;Echo
Audible = (?i)^audible|\bAudible[,/]
YouTube Music = YouTube ?Music|com\.google\.android\.apps\.youtube\.music
TuneIn = (?i)\btune ?in
iHeartRadio = (?i)iheart ?radio|^iHeart
Stitcher = (?i)stitcher
Deezer = (?i)^deezer|\bdeezer/
SoundCloud = (?i)soundcloud
Pandora = (?i)^pandora|\bPandora/
SiriusXM = (?i)siriusxm
Audacy = (?i)audacy
BBC = (?i)bbc ?sounds|bbc ?iplayer|^BBCNews
Audiothek = (?i)(?:ard|dlf)[ -]?audiothek|ARD Sounds
Radio France = (?i)radio ?france
NPR = NPR ?One|^NPR
iVoox = (?i)ivoox
Acast = (?i)\bacast
JioSaavn = (?i)jiosaavn|saavn
Gaana = (?i)^gaana|wynk
Yandex Music = (?i)yandex\.?music|ru\.yandex\.music
Audiobookshelf = (?i)audiobookshelf
Sonos = (?i)\bsonos\b
Bose = (?i)^bose|Bose_|SoundTouch
Roku = ^Roku
Kodi = (?i)^kodi|XBMC
VLC = ^VLC|LibVLC|VLC media player
mpv = ^mpv|libmpv|^MPlayer
Music player = (?i)^winamp|foobar2000|^MusicBee|MediaMonkey|^Clementine|^Strawberry|Rhythmbox
Music player = (?i)amarok|Audacious|^JRiver|^Swinsian|Banshee
Windows Media Player = NSPlayer|Windows-Media-Player|WMPlayer|^WMFSDK
iTunes = ^iTunes/|\biTunes/
Apple Music = ^Music/|com\.apple\.Music
AppleCoreMedia = ^AppleCoreMedia
News reader = (?i)netnewswire|^Reeder|^Newsboat|^Fiery ?Feeds|^Unread|^ReadYou|^FeedFlow
News reader = (?i)^Newsblur-app|RSSOwl|^Feeder/|^NewsFlash
Messenger = FBAN/(?:Messenger|MessengerLite)|FB_IAB/(?:MESSENGER|Orca)|\bMessenger
Facebook = FBAN|FBAV|FB_IAB|MetaIAB
Instagram = \bInstagram \d
Threads = \bBarcelona \d
TikTok = musical_ly|BytedanceWebview|TikTok|trill_
Twitter = Twitter for |TwitterAndroid|^Twitter/
LinkedIn = LinkedInApp|^LinkedIn/
Pinterest = \[Pinterest/|Pinterest for[ ]
Snapchat = Snapchat/
WeChat = MicroMessenger
LINE = \bLine/
KakaoTalk = KAKAOTALK
Naver = NAVER\(inapp
Baidu = baiduboxapp
Reddit = RedditAndroid|Reddit/
Telegram = Telegram-Android|^Telegram/
Slack = Slack_SSB|Slack/|com\.tinyspeck|Slack-client
Microsoft Teams = Teams/
Samsung TV = (?:SMART-TV|Tizen).* TV Safari
Thunderbird = (?i)thunderbird
Outlook = Microsoft Outlook|Outlook-iOS|Outlook-Android|MacOutlook|Outlook/
Apple Mail = ^Mail/|AppleMail|MobileMail
Google = \bGSA/|GoogleApp/
Safari = SafariViewService|^MobileSafari/|^Safari/\d
WebKit = com\.apple\.WebKit\.Networking|^com\.apple\.
Stagefright = ^stagefright|stagefright/
ExoPlayer = ExoPlayerLib|^Exo2/|^ExoPlayer|AndroidXMedia3|^ExoMedia
Dalvik = ^Dalvik
Android download = ^AndroidDownloadManager|^DownloadManager|^PRDownloader|^FileDownloader
GStreamer = ^GStreamer|GStreamer souphttpsrc|Phonon
CFNetwork = CFNetwork/
"""
)

# What ua-parser calls a browser, and what it is called here.  What is not here is no name.
BROWSERS = {
    "Chrome": "Chrome Chrome_Mobile Chrome_Mobile_iOS Chrome_Mobile_WebView Chromium Iron",
    "Safari": "Safari Mobile_Safari Mobile_Safari_UI/WKWebView",
    "Firefox": "Firefox Firefox_Mobile Firefox_iOS Firefox_Alpha Firefox_Beta Firefox_Klar "
    "Firefox_Focus Iceweasel IceCat Waterfox LibreWolf Fennec Swiftfox Minefield",
    "Edge": "Edge Edge_Mobile Edge_WebView2",
    "Internet Explorer": "IE IE_Mobile IE_Large_Screen",
    "Opera": "Opera Opera_Mobile Opera_Mini Opera_Neon Opera_Coast Opera_GX Opera_Tablet",
    "Samsung Internet": "Samsung_Internet",
    "UC Browser": "UC_Browser",
    "Yandex Browser": "Yandex_Browser YandexSearch",
    "Android Browser": "Android",
    "Amazon Silk": "Amazon_Silk",
    "DuckDuckGo": "DuckDuckGo DuckDuckGo_Mobile",
    "QQ Browser": "QQ_Browser QQ_Browser_Mobile QQ_Browser_Mini",
    "MIUI Browser": "MiuiBrowser MIUI_Browser",
    "Huawei Browser": "Huawei_Browser HuaweiBrowser",
    "Baidu": "Baidu_Browser Baidu_Explorer BaiduBoxApp",
    "BlackBerry": "BlackBerry BlackBerry_WebKit",
    "Nokia Browser": "Nokia_Browser Nokia_OSS_Browser Nokia_Series_40 Nokia_Services_(WAP)_Browser",
    "Thunderbird": "Thunderbird Lightning Icedove",
    "Outlook": "Outlook Windows_Live_Mail",
    "Facebook": "Facebook Facebook_Messenger",
    "Pale Moon": "Pale_Moon_(Firefox_Variant) Pale_Moon",
    "Sogou Explorer": "Sogou_Explorer SogouMobileBrowser SogouSearch",
    "Naver": "NAVER Naver",
    "Whale": "Whale",
    "HbbTV": "HbbTV",
    "Quest Browser": "Oculus_Browser",
    "PlayStation": "NetFront_NX PlayStation NetFront",
}
# And these as they are.
SAME = (
    "Vivaldi Brave Ecosia Maxthon Puffin SeaMonkey Epiphany Konqueror Electron Instagram Twitter "
    "Pinterest LinkedIn Snapchat WeChat Sleipnir Lynx Links w3m ELinks Camino Dolphin Kiwi Midori "
    "Falkon Qutebrowser Avast Tesla"
)
_BROWSER_OF = {
    family.replace("_", " "): name
    for name, families in BROWSERS.items()
    for family in families.split()
} | {name: name for name in SAME.split()}

# The first that fits says which system it is.
SYSTEMS: Entries = entries(
    r"""
Android = OculusBrowser
HarmonyOS = HarmonyOS|OpenHarmony|ArkWeb
tvOS = Apple ?TV|tvOS|apple;apple_tv|com\.apple\.tv
watchOS = watchOS|Watch OS|^Watch/\d|Apple Watch|\bWatch\d
audioOS = HomePod|AirPodcasts/|AudioOS
visionOS = visionOS|Apple ?Vision
KaiOS = (?i)kaios
webOS = (?i)web0s|webos
Tizen = (?i)tizen
PlayStation = (?i)playstation
Xbox = (?i)xbox
Nintendo = (?i)nintendo
Roku = (?i)\broku
Chromecast = CrKey
Windows Phone = Windows Phone|WPDesktop|Windows Mobile
ChromeOS = \bCrOS\b
macOS = \(macOS|\bmacOS|OSX|Macintosh|MacOS|CFNetwork/.*Darwin/.*(?:x86_64|Mac[A-Z])
iOS = ^(?:Overcast|Castro\b|Downcast|iCatcher|Castamatic|RSSRadio)
iOS = (?i)iphone|ipad|\bipod|iOS[ /;)]|\bios(?:[ /;:,)]|$)
iOS = CFNetwork/|\bDarwin/|; ?iOS|;ios
Android = (?i)android|dalvik|exoplayer|stagefright|antennapod|silk/|\baft[a-z]{1,6}\d*\b
Android = (?i)^podcast ?addict|^podkicker|^beyondpod|^doggcatcher|^sp-agent|^prdownloader
Android = (?i)^gsa/.*arm
Windows = Windows|Win32|Win64|NSPlayer|\bWin;
BlackBerry = (?i)blackberry|\bbb10|playbook
Symbian = (?i)symbian|symbos|series ?[64]0|\bS60\b
BSD = (?i)(?:free|open|net|dragonfly ?)bsd
Solaris = SunOS
Linux = (?i)linux|x11|ubuntu|fedora
"""
)

# The first that fits says which device it is; more special ones stand before what they contain.
DEVICES: Entries = entries(
    r"""
watch = Apple Watch|watchOS|Watch OS|^Watch/\d|\bWatch\d|Wear OS|WearOS|SM-R[789]\d\d
watch = (?i)garmin|fitbit
speaker = HomePod|AirPodcasts/
speaker = (?i)google ?home|nest ?(?:mini|audio|hub)
speaker = GoogleChirp|DeviceType/SmartSpeaker|\bAlexa|AmazonAVS|AvsDeviceSdk|^Echo/|Amazon;Echo
speaker = \bAEO[A-Z]{2}
speaker = (?i)\bsonos\b|^bose|bose_|soundtouch|^heos|^linn|^bluesound|^yamaha;|^naim|^wiim|^jbl;
speaker = (?i)^devialet|^bowers|^marshall|^audio_?pro|^bang_?and|^samsung;hw-|denon|libratone
speaker = (?i)musiccast|bluos|squeezebox|smart ?speaker
speaker = Chromecast_SmartSpeaker
car = (?i)carplay|android ?auto(?:motive)?|tesla/|qtcarbrowser|gminfo|rivian|polestar|\bvolvo
car = (?i)byd ?auto|infotainment|automotive|cinemo
car = ^Spotify/.* \(G[69]\)
console = (?i)playstation|xbox|nintendo
tv = (?i)apple ?tv|tvos|apple_tv|smart-?tv|smart_tv|hbbtv|googletv|google tv|android ?tv|netcast
tv = (?i)web0s|bravia|viera|aquos|vidaa|philipstv|\broku|crkey|chromecast|\bopera tv|inettv|dtv;
tv = (?i)tizen.*\btv\b|linux/smarttv|set-?top|mibox|shield android|;tpapi;|\bott\b
tv = \bAFT[A-Z]{1,6}\d*\b|\bTV\b|MiTV|TV Safari|CE-HTML
headset = Quest \d|OculusBrowser|Vision ?Pro|visionOS
tablet = (?i)ipad|tablet|playbook|kindle
tablet = \bKF[A-Z]{2,6}\b|\bSM-[TXP]\d{3}|\bGT-[PN]\d{4}|Nexus (?:7|9|10)\b|\bXoom\b
tablet = Lenovo (?:TB|YT|Tab)|\bTB-?[X0-9]\d{2}|MediaPad|MatePad|\bPad \d|Xiaomi Pad|Redmi Pad
tablet = Galaxy Tab|\bSHIELD\b|\bA1_07\b
mobile = (?i)iphone|\bipod
mobile = Mobile|\bMobi\b|Windows Phone
mobile = (?i)kaios|symbian|series ?[64]0|blackberry|\bbb10|opera mini|midp|webos/
mobile = \bNokia
tablet = Mozilla/5\.0 \((?:Linux|X11); (?:U; )?Android .*Chrome/[\d.]+ Safari/
desktop = Macintosh|Mac OS X|\bmacOS|OSX|MacOS|MacBook|iMac|Darwin/.*(?:x86_64|Mac[A-Z])
mobile = (?i)android|dalvik|exoplayer|stagefright
mobile = AntennaPod|CFNetwork/|\bDarwin/|\biOS\b|;ios|\bios(?:[ /;:,)]|$)
mobile = ^(?:Overcast|Castro\b|Podkicker|PodcastGuru|Pocket ?Casts|Podcast ?Addict|iCatcher)
mobile = ^(?:Downcast|Castamatic|RSSRadio|sp-agent|PRDownloader|GSA/.*arm)
desktop = Windows|Win32|Win64|NSPlayer|\bCrOS\b|X11
desktop = (?i)linux|ubuntu|[a-z]bsd
"""
)
# A rule that takes the family out of the agent has it in its pattern, with spaces or parts apart.
_FAMILY_WORDS = {family.split()[0] for family in _BROWSER_OF}


def browser_of(family: str) -> str | None:
    """Return our name of what ua-parser calls *family*."""
    return _BROWSER_OF.get(family)


def may_say(regex: str, family: str) -> bool:
    """Return whether a rule of ua-parser can answer with a family that has a name here."""
    if "$1" not in family:
        return family in _BROWSER_OF
    return any(word in regex for word in _FAMILY_WORDS)
